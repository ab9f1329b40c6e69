"""How people name the newest things of a project: `last`, `last~2`."""


def steps_back(reference: str) -> int | None:
    """0 for `last`, N for `last~N`, None for anything else."""
    name, tilde, steps = reference.partition("~")
    if name != "last" or (tilde and not steps.isdecimal()):
        return None
    return int(steps) if tilde else 0
