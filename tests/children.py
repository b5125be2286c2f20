"""The processes that a test started: which there are, and whether one still runs."""

import psutil


def descendants_with(word):
    """Processes below this one with `word` in their command line; one that ends meanwhile is none."""
    return [child for child in psutil.Process().children(recursive=True) if word in command_line(child)]


def command_line(process):
    """A process's command line as one text, empty if it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def runs(pid):
    """Whether there is such a process, and it has not ended: one that nobody has asked how it ended is no more."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
