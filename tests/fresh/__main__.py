"""`make fresh`: do the README's two commands work where nothing is but what the README says?

A bare Debian is made in a temporary folder, the README's `apt-get install` line is followed in it, and a user who is
not root clones the last commit there, types `make lab` until JupyterLab shows the first lab, then `make test`.
With --bundle a learner sets the labs up there from what `labkit pack` made, without a network, and runs all of them.
Exit status 1: something failed; 130: Ctrl-C. Whatever happens, no process, mount or file is left.
"""

import argparse
import shlex
import signal
import sys
import time
from pathlib import Path

from tests.fresh import learner, machine, network, newcomer, packages

REPOSITORY = Path(__file__).resolve().parents[2]


def main(argv: list[str]) -> int:
    """Make the root, play the newcomer, say how long each step took; returns the exit status."""
    options, for_pytest = _options(argv)
    if lacking := machine.lacking():
        print(f"make fresh: {lacking}", file=sys.stderr)
        return 1
    try:
        wanted = packages.named_by(REPOSITORY / "README.md")
        suite, mirror = options.suite or network.suite(), options.mirror or network.mirror()
    except (LookupError, ValueError) as problem:
        print(f"make fresh: {problem}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the root is removed then, too
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    try:
        with machine.debian(suite, mirror, say) as root:
            root.install(learner.PACKAGES if options.bundle else wanted, say)
            if options.bundle:
                _play_learner(root, say)
            else:
                _play_newcomer(root, options.lab_only, for_pytest, say)
    except machine.Failed:  # it has been said
        return 1
    except KeyboardInterrupt:
        return 130
    say(f"{'A bundle works' if options.bundle else 'The commands of the README work'} in a bare Debian.")
    return 0


def _play_learner(root: machine.Root, say: machine.Say) -> None:
    learner.pack(REPOSITORY, root, say)
    began = time.monotonic()
    learner.set_up(root, say)
    say(f"The labs are set up, after {time.monotonic() - began:.0f} s")
    learner.run_labs(root, say)


def _play_newcomer(root: machine.Root, lab_only: bool, for_pytest: list[str], say: machine.Say) -> None:
    newcomer.bring(REPOSITORY, root, say)
    began = time.monotonic()
    newcomer.clone(root, say)
    newcomer.open_first_lab(root, say)
    say(f"The first lab is open, {time.monotonic() - began:.0f} s after `git clone` began")
    if not lab_only:
        newcomer.test(root, shlex.join(for_pytest), say)


def _options(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="make fresh", description=__doc__, allow_abbrev=False)
    parser.add_argument("--suite", help="a Debian other than this machine's, such as trixie")
    parser.add_argument("--mirror", help="where it comes from; by default where this machine's own packages come from")
    parser.add_argument("--lab-only", action="store_true", help="stop after `make lab`")
    parser.add_argument("--bundle", action="store_true", help="try a bundle without a network instead of the README")
    parser.epilog = 'Further arguments are those of `make test`: make fresh ARGS="-k doctor".'
    return parser.parse_known_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
