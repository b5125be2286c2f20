"""Style rules: the sections of a lab and their order, exercises, and the files that belong to a lab."""

import re
from collections.abc import Iterator

from labkit.notebooks import files
from labkit.notebooks.lab import Lab, Section
from labkit.notebooks.style import lab_rule

IDEA_WORDS = 120
CLOSING = ("When it goes wrong", "Exercises", "What you learned", "In practice", "Next", "Sources")

# Headings, tables, code blocks and formulas are no words of the idea's text.
_NOT_PROSE = re.compile(r"^#[^\n]*|^\|[^\n]*|```.*?```|\$\$.*?\$\$", re.MULTILINE | re.DOTALL)
_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]+\)|<img\b[^>]*>")


@lab_rule
def file_name(lab: Lab) -> Iterator[str]:
    if not files.LAB_NAME.fullmatch(lab.path.name):
        yield "a lab's file is named NN_words_of_its_title.ipynb: two digits, small letters, digits and _"


@lab_rule
def title(lab: Lab) -> Iterator[str]:
    first = lab.opening.partition("\n")[0]
    if not re.fullmatch(rf"# {lab.number} · [A-Z][^.]+", first):
        yield f"the first line is {first[:60]!r}; write '# {lab.number} · Verb phrase', without a full stop"


@lab_rule
def result(lab: Lab) -> Iterator[str]:
    below_title = lab.opening.partition("\n")[2]
    told = re.split(r"\*\*You will|^#", _IMAGE.sub("", below_title), maxsplit=1, flags=re.MULTILINE)[0].strip()
    sentences = len(re.findall(r"[.!?](?=\s|$)", told))
    if sentences != 1 or told[-1:] not in set(".!?"):
        yield f"below the title stand {sentences} sentences ({told[:60]!r}); write one: what comes out of this lab"


@lab_rule
def idea_figure(lab: Lab) -> Iterator[str]:
    count = len(_IMAGE.findall(lab.opening))
    if count != 1:
        yield f"the opening has {count} figures; show one drawing of the whole idea, from figures/"


@lab_rule
def you_will(lab: Lab) -> Iterator[str]:
    places = [lab.opening.find(f"**{words}") for words in ("You will make", "You will be able to", "You need")]
    if -1 in places or places != sorted(places):
        yield "before the first code cell stand, in order: **You will make**, **You will be able to**, **You need**"
        return
    if not re.search(r"^[-*] ", lab.opening[places[1] : places[2]], re.MULTILINE):
        yield "**You will be able to** is a list; start its lines with '- ' and a verb"


@lab_rule
def you_need(lab: Lab) -> Iterator[str]:
    needs = lab.opening.partition("**You need")[2].lower()
    missing = [word for word in ("lab", "minute", "memory", "gpu") if word not in needs]
    if needs and missing:
        yield f"**You need** does not say: {', '.join(missing)}; name earlier labs (or none), minutes, memory, GPU"


@lab_rule
def setup_cell(lab: Lab) -> Iterator[str]:
    setup = lab.code[0].source if lab.code else ""
    if not setup.startswith("from labkit import start"):
        yield "the first code cell starts with 'from labkit import start', so that TensorFlow is quiet and seeded"
    if f'start.workspace("{lab.number}")' not in setup:
        yield f'the first code cell calls start.workspace("{lab.number}"): empty folder, fresh seeds on every run'


@lab_rule
def parts(lab: Lab) -> Iterator[str]:
    numbers = [int(part.title.partition(" ")[0]) for part in lab.parts]
    if not 3 <= len(numbers) <= 6:
        yield f"there are {len(numbers)} parts; a lab has three to six, under headings '## 1 · A question?'"
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the parts are numbered {numbers}; number them 1, 2, 3 in order"


@lab_rule
def part_claim(lab: Lab) -> Iterator[str]:
    for part in lab.parts:
        if not any(re.search(r"^\s*assert\b", cell.source, re.MULTILINE) for cell in part.code):
            yield f"part {part.title!r} claims nothing; add a cell that asserts what the text says"


@lab_rule
def part_idea(lab: Lab) -> Iterator[str]:
    for part in lab.parts:
        words = _idea_words(part)
        if words > IDEA_WORDS:
            yield f"the text before the code of part {part.title!r} has {words} words; say it in {IDEA_WORDS}"


def _idea_words(part: Section) -> int:
    texts = []
    for cell in part.cells:
        if cell.is_code:
            break
        texts.append(cell.source)
    prose = _NOT_PROSE.sub("", _IMAGE.sub("", "\n".join(texts)))
    return len(re.findall(r"\w[\w'’.-]*", re.sub(r"\]\([^)]*\)", "]", prose)))


@lab_rule
def closing(lab: Lab) -> Iterator[str]:
    titles = [section.title for section in lab.sections]
    expected = [part.title for part in lab.parts] + list(CLOSING)
    if titles != expected:
        missing = [title for title in expected if title not in titles]
        extra = [title for title in titles if title not in expected]
        yield (
            f"after the numbered parts come ## {', ## '.join(CLOSING)}; missing: {missing}, unknown: {extra}"
            if missing or extra
            else f"the sections stand in another order: {titles}"
        )


@lab_rule
def goes_wrong(lab: Lab) -> Iterator[str]:
    section = lab.section("When it goes wrong")
    source = "\n".join(cell.source for cell in section.code) if section else ""
    caught = re.findall(r"^\s*except\s+\(?([\w.]+)", source, re.MULTILINE)
    if section and (not caught or {"Exception", "BaseException"} & set(caught)):
        yield "'When it goes wrong' shows one failure, caught by its own type: try: ... except ThatError as error: ..."


@lab_rule
def sources(lab: Lab) -> Iterator[str]:
    section = lab.section("Sources")
    below = re.split(r"^## +Sources *$", section.text, flags=re.IGNORECASE | re.MULTILINE)[-1] if section else ""
    if section and "](http" not in below:  # the cell may hold other sections too
        yield "'Sources' names no page; link what a reader can look up: [title](https://...)"


@lab_rule
def exercise_count(lab: Lab) -> Iterator[str]:
    numbers = [number for number, _ in lab.exercises()]
    if not 2 <= len(numbers) <= 4:
        yield f"there are {len(numbers)} exercises; a lab has two to four, under '### Exercise {lab.number}.1'"
    if numbers != [f"{lab.number}.{place}" for place in range(1, len(numbers) + 1)]:
        yield f"the exercises are numbered {numbers}; number them {lab.number}.1, {lab.number}.2 in order"


@lab_rule
def exercise_check(lab: Lab) -> Iterator[str]:
    for number, cells in lab.exercises():
        code = "\n".join(cell.source for cell in cells if cell.is_code)
        if "# solution\n" not in code:
            yield f"exercise {number} has no solution; put it between '# solution' and '# end of solution'"
        if f'check("{number}"' not in code:
            yield f'exercise {number} is not checked; call check("{number}", answer)'
        elif not any(f"{number}: right" in cell.printed for cell in cells):
            yield f"the stored answer to exercise {number} is not 'right'; mend solution or check, then labkit run"


@lab_rule
def last_cell(lab: Lab) -> Iterator[str]:
    last = lab.cells[-1] if lab.cells else None
    if last is None or not last.is_code or not re.search(r"\b(stop|rmtree|shutdown|terminate)\(", last.source):
        yield "the last cell is code that stops what the lab started: server.stop(), shutil.rmtree(folder)"


@lab_rule
def links(lab: Lab) -> Iterator[str]:
    for cell in lab.text:
        for target in re.findall(r"""(?:\]\(|\bsrc=["'])([^)"'\s#]+)""", cell.source):
            if not re.match(r"[a-z][a-z0-9+.-]*:", target) and not (lab.path.parent / target).exists():
                yield f"{cell.where} links to {target}, which does not exist"


@lab_rule
def stored_form(lab: Lab) -> Iterator[str]:
    if lab.path.read_text(encoding="utf-8") != files.text(files.scrubbed(lab.notebook)):
        yield "the file is not as `labkit run` writes it (metadata, layout, cell ids); run the lab again"
