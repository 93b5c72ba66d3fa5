"""Named sets of panels as a hierarchy of groups."""

from collections.abc import Mapping, Sequence

from nanobragg_numba.errors import InputError

from .detector import Group


def nested_groups(named: Mapping[str, Sequence[str]], panels: Sequence[str]) -> tuple[list[Group], list[int | None]]:
    """The groups, outer ones ahead, and for each panel the innermost one that it is in, or None.

    ``named``: by the groups' names their members, panels or other groups. Raises InputError for a member that is neither, for a group
    that is in itself, and for two groups that share some of their panels alone.
    """
    known = set(panels)
    sets: dict[str, frozenset[str]] = {}

    def inside(name: str, outer: tuple[str, ...]) -> frozenset[str]:
        if name in sets:
            return sets[name]
        if name in outer:
            raise InputError(f"group {name} is in itself")
        found: set[str] = set()
        for member in named[name]:
            if member in named and member != name:
                found |= inside(member, (*outer, name))
            elif member in known:
                found.add(member)
            else:
                raise InputError(f"group {name}: {member!r} is neither a panel nor another group")
        sets[name] = frozenset(found)
        return sets[name]

    for name in named:
        inside(name, ())
    # Outer ones ahead; of equal ones that which names the other.
    order = sorted(named, key=lambda name: (-len(sets[name]), -sum(member in named for member in named[name])))
    groups: list[Group] = []
    for number, name in enumerate(order):
        parent: int | None = None
        for before in range(number):
            shared = sets[order[before]] & sets[name]
            if shared == sets[name]:
                parent = before
            elif shared:
                raise InputError(f"groups {order[before]} and {name} share the panel {min(shared)}, and neither is inside the other")
        groups.append(Group(name, parent))
    innermost: list[int | None] = [None] * len(panels)
    for number, name in enumerate(order):
        for at, panel in enumerate(panels):
            if panel in sets[name]:
                innermost[at] = number
    return groups, innermost
