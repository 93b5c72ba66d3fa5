"""The response's formulas that have derivatives, each written once for numpy's arrays and for torch's tensors."""
