"""A page as an anywidget: its modules, its files and TensorFlow.js come to the notebook's page by kernel messages."""

from collections.abc import Callable, Mapping
from typing import Any

from labkit.browser.page_files import PAGES, PageFiles
from labkit.errors import needs_extra

with needs_extra("labkit.browser.widget", "browser"):
    import anywidget
    import traitlets


class PageWidget(anywidget.AnyWidget):
    """One page, shown in the output of a cell.

    While a cell runs the kernel reads no messages: a page that is loading then waits until the cell has ended.
    """

    _esm = PAGES / "widget.js"
    page = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int().tag(sync=True)

    def __init__(
        self, page: str, files: Mapping[str, Any], *, height: int, receive: Callable[[str, bytes], Any]
    ) -> None:
        """The page can be shown.

        Args:
            page: ``draw`` or ``fine_tune``.
            files: as for `labkit.browser.PageServer`.
            height: in CSS pixels; what is longer scrolls.
            receive: called with ``result`` and the bytes that the reader handed over.

        Raises:
            EnvironmentProblem: the JavaScript packages are not installed.
            ValueError: a file that is not there.
        """
        self._files, self._receive = PageFiles(files), receive
        super().__init__(page=page, height=height)
        self.on_msg(self._answer)

    def _answer(self, _: Any, message: Mapping[str, Any], buffers: list[memoryview]) -> None:
        if message["kind"] == "result":
            self._receive("result", bytes(buffers[0]))
            return
        try:
            found = self._files.read(message["path"])
        except OSError:
            self.send({"id": message["id"], "error": f"there is no {message['path']}"})
        else:
            self.send({"id": message["id"]}, buffers=[found])
