; Four panels of 100x120 pixels around the beam, each tilted a little, in two halves that move as one.
photon_energy = 12398.42 eV
adu_per_photon = 1
clen = 60 mm
res = 2500

left_low/min_fs = 0
left_low/max_fs = 119
left_low/min_ss = 0
left_low/max_ss = 99
left_low/fs = -0.99995x +0.01y
left_low/ss = -0.01x -0.99995y
left_low/corner_x = 124.5
left_low/corner_y = -3.0

left_high/min_fs = 0
left_high/max_fs = 119
left_high/min_ss = 100
left_high/max_ss = 199
left_high/fs = -0.9998x +0.02z
left_high/ss = -1.0y
left_high/corner_x = 124.0
left_high/corner_y = 104.0
left_high/coffset = -0.0004

right_low/min_fs = 120
right_low/max_fs = 239
right_low/min_ss = 0
right_low/max_ss = 99
right_low/fs = -1.0x
right_low/ss = -0.9998y +0.02z
right_low/corner_x = -4.0
right_low/corner_y = -4.25

right_high/min_fs = 120
right_high/max_fs = 239
right_high/min_ss = 100
right_high/max_ss = 199
right_high/fs = -0.99998x -0.006y
right_high/ss = 0.006x -0.99998y
right_high/corner_x = -3.0
right_high/corner_y = 103.5

badstop/min_x = -8
badstop/max_x = 8
badstop/min_y = -8
badstop/max_y = 8

group_left = left_low,left_high
group_right = right_low,right_high
group_all = left,right
