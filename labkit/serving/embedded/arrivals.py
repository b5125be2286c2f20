"""Which of the folders that stand there may be loaded now, and which wait until they are complete."""

from collections.abc import Sequence

from labkit.serving.embedded.config import explain_missing, tflite_advice
from labkit.serving.embedded.storage import VersionFolder
from labkit.serving.embedded.versions import Model


class Arrivals:
    """Looks at the folders of models before they are loaded."""

    def __init__(self, model_files: Sequence[str], *, strict: bool, looks_again: bool) -> None:
        """Nothing is looked at yet.

        Args:
            model_files: the files of which one makes a folder a version (`storage.model_files`).
            strict: folders are loaded as they are found, complete or not, and once only.
            looks_again: folders are looked at again and again, so one may wait for the next look.
        """
        self._files = model_files
        self._strict = strict
        self._looks_again = looks_again

    def fit_to_load(self, model: Model, folders: list[VersionFolder]) -> list[VersionFolder]:
        """`folders` without those that wait; failed ones whose files changed get another chance. Called in a thread."""
        choose, fit = model.config.policy.choose, folders
        waiting: dict[VersionFolder, str] = {}
        while late := {folder: why for folder in choose(fit) if (why := self._waits_for(model, folder))}:
            waiting |= late
            fit = [folder for folder in fit if folder not in late]
        model.first_look = False
        model.complain(self._complaint(model, folders, waiting))
        for folder in choose(fit):
            version = model.versions.get(folder.version)
            failed = version.failed_fingerprint if version else None
            if version and failed is not None and not self._strict and folder.fingerprint() != failed:
                version.failed_fingerprint = None
        return fit

    def _waits_for(self, model: Model, folder: VersionFolder) -> str:
        """What a folder has to wait for before it is loaded; nothing if it is loaded already."""
        version = model.versions.get(folder.version)
        if self._strict or (version and version.busy):
            return ""
        if version and version.failed_fingerprint is not None and version.failed_fingerprint == folder.fingerprint():
            return ""  # nothing is being copied; it is not read again before that
        lack = folder.lack(self._files)
        if lack is None:
            return ""
        before, now = model.incomplete.get(folder.version), folder.fingerprint()
        model.incomplete[folder.version] = now
        # Where nothing is added nothing is being copied: a load then says what is wrong, unless it would not notice.
        given_up = now == before or model.first_look or not self._looks_again
        return "" if given_up and not lack.unseen else f"{lack.what} in {folder.path}"

    def _complaint(self, model: Model, folders: list[VersionFolder], waiting: dict[VersionFolder, str]) -> str:
        """What is wrong with the model's folder: the empty string if nothing is."""
        if not folders:
            return explain_missing(model.config, self._files).message
        if waiting:
            advice = "".join(f" {found}" for folder in waiting if (found := tflite_advice(folder.path, self._files)))
            return f"Waiting for {', '.join(waiting.values())}; loading starts when it is there.{advice}"
        if vain := model.config.policy.complaint(folders):
            return f"Model {model.config.name}: {vain}; its folder is {model.config.base_path}."
        return ""  # all is well again: the next complaint is news
