"""labkit.browser.frame: a local page in a cell's output, by the way that fits who watches."""

import base64
import html
import io
import re
from urllib.parse import quote

import matplotlib.image
import pytest

from labkit.browser import Frame

URL = "http://127.0.0.1:41234/some/page"
WORDS = 'Curves of "loss" & <accuracy>.'
LATE = """<body style="background: red"><script>
setTimeout(() => { document.body.style.background = "lime"; window.done = true; }, 300);
</script>"""


@pytest.fixture(autouse=True)
def nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JPY_SESSION_NAME", "JPY_PARENT_PID", "JUPYTERHUB_SERVICE_PREFIX", "VSCODE_PID", "LABKIT_SHOW"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("environment", "through", "way"),
    [
        ({}, None, "picture"),
        ({"JPY_SESSION_NAME": "a.ipynb"}, None, "direct"),
        ({"VSCODE_PID": "1"}, None, "direct"),
        ({"JPY_SESSION_NAME": "a.ipynb", "JUPYTERHUB_SERVICE_PREFIX": "/user/ann/"}, None, "proxy"),
        ({"LABKIT_SHOW": "direct"}, None, "direct"),
        ({"LABKIT_SHOW": "direct"}, "proxy", "proxy"),
    ],
)
def test_the_way_follows_the_kernel_the_variable_and_the_caller(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], through: str | None, way: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Frame(URL, alt=WORDS, through=through).way == way


@pytest.mark.parametrize("through", [None, "widget"], ids=["variable", "argument"])
def test_another_way_is_refused(monkeypatch: pytest.MonkeyPatch, through: str | None) -> None:
    monkeypatch.setenv("LABKIT_SHOW", "widget")
    with pytest.raises(ValueError, match="through direct, proxy or picture, not 'widget'; see LABKIT_SHOW"):
        Frame(URL, alt=WORDS, through=through)


def shown(frame: Frame) -> str:
    bundle = frame._repr_mimebundle_()
    assert bundle["text/plain"] == f"Page: {WORDS}"
    return bundle["text/html"]


def test_a_frame_has_the_page_s_own_address_its_words_and_its_height() -> None:
    text = shown(Frame(URL + '?a=1&b="2"', alt=WORDS, through="direct", height=321))
    address, title, style = re.fullmatch(r'<iframe src="(.*?)" title="(.*?)" style="(.*?)"></iframe>', text).groups()
    assert html.unescape(address) == URL + '?a=1&b="2"'
    assert (html.unescape(title), "<" in title) == (WORDS, False)
    assert "height: 321px" in style


@pytest.mark.parametrize(("prefix", "base"), [(None, "/"), ("/user/ann/", "/user/ann/")])
def test_through_the_proxy_the_address_is_below_jupyter_s(
    monkeypatch: pytest.MonkeyPatch, prefix: str | None, base: str
) -> None:
    if prefix:
        monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", prefix)
    assert f'src="{base}proxy/41234/some/page"' in shown(Frame(URL, alt=WORDS, through="proxy"))
    assert f'src="{base}proxy/41234/"' in shown(Frame("http://127.0.0.1:41234", alt=WORDS, through="proxy"))


def test_through_the_proxy_query_and_fragment_are_kept() -> None:
    text = shown(Frame("http://127.0.0.1:41234/?run=1#scalars", alt=WORDS, through="proxy"))
    assert 'src="/proxy/41234/?run=1#scalars"' in text


def test_a_picture_is_taken_when_the_page_is_ready(browser_is_here: None) -> None:
    page = Frame(f"data:text/html,{quote(LATE)}", alt=WORDS, ready="window.done === true", height=200)
    words, picture = re.search(r'<img alt="(.*?)" src="data:image/png;base64,(.*?)">', shown(page)).groups()
    assert html.unescape(words) == WORDS
    pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(picture)), format="png")
    assert pixels.shape[:2] == (200, 900)
    assert tuple(pixels[100, 450, :3]) == (0, 1, 0), "it was red before"


def test_through_the_proxy_a_page_needs_a_port() -> None:
    with pytest.raises(ValueError, match=r"'http://127\.0\.0\.1/' names no port"):
        Frame("http://127.0.0.1/", alt=WORDS, through="proxy")._repr_mimebundle_()
