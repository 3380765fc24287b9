import gc
import math
import shutil
import time
import urllib.parse
import weakref
from html.parser import HTMLParser

import pytest
import soundfile
import torch

from instglow.errors import OutputError
from instglow.pages.listening import Estimates, Exhibit, write_page
from instglow.pages.listening.spectrogram import HEIGHT, HIGHEST, WIDTH, decibels

RATE = 8000
SECONDS = 3
STEP = 1 / 2**15  # of 16 bits
NASTY = "\"Rock & Roll\" <script>alert(1)</script> / ../Déjà 'vu' 歌 http://a.b/?c#d%20"
HALF_A_PAIR = "caf\udce9"  # how Python names a file whose name is no UTF-8


def wave(seed, channels=2):
    generator = torch.Generator().manual_seed(seed)
    return 0.3 * torch.rand(channels, SECONDS * RATE, generator=generator) - 0.15


def exhibit(song="A song", stems=("bass", "drums"), methods=("glow", "nmf")):
    truth = {stem: wave(index) for index, stem in enumerate(stems)}
    heard = [
        Estimates(
            method,
            {stem: wave(10 * number + index) for index, stem in enumerate(stems)},
            {
                stem: {"sdr": 3.14, "si_sdr": -1.25, "sdr_i": 2.5, "sdr_frames": None}
                for stem in stems
            },
        )
        for number, method in enumerate(methods, 1)
    ]
    return Exhibit(song, RATE, sum(truth.values()), truth, heard)


class Reader(HTMLParser):
    """Every element as (tag, attributes), the text of elements, and whether all are closed."""

    VOID = frozenset({"meta", "link", "img"})

    def __init__(self, path):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append((self.open[-1] if self.open else "", text.strip()))

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag):
        return [text for name, text in self.texts if name == tag and text]


def test_every_link_is_relative_and_leads_to_a_file(tmp_path):
    songs = [exhibit(), exhibit(NASTY, (NASTY, "歌"), (NASTY, NASTY, "nmf"))]
    index = write_page(tmp_path / "page", NASTY, songs, NASTY)
    page = Reader(index)
    links = {a[key] for _, a in page.elements for key in ("src", "href") if key in a}
    ids = {a["id"] for _, a in page.elements if "id" in a}
    files = set()
    for link in links - {"data:,"}:
        parts = urllib.parse.urlsplit(link)
        assert (parts.scheme, parts.netloc, parts.query) == ("", "", "")
        assert urllib.parse.unquote(link) == link
        if parts.fragment:
            assert parts.fragment in ids
        else:
            assert ".." not in link
            assert (index.parent / link).is_file()
            files.add(index.parent / link)
    assert files | {index} == {path for path in index.parent.rglob("*") if path.is_file()}
    players, pictures = page.all("audio"), page.all("img")
    # mixture, and two stems in a column of truth and one for each method
    assert len(players) == len(pictures) == (1 + 2 * 3) + (1 + 2 * 4)
    assert len({player["src"] for player in players}) == len(players)  # nothing overwrites another


def test_recordings_are_the_stems_within_16_bits(tmp_path):
    shown = exhibit()
    index = write_page(tmp_path / "page", "Title", [shown])
    waves = {f"{h.method}-{stem}": wave for h in shown.estimates for stem, wave in h.stems.items()}
    waves |= {f"true-stems-{stem}": wave for stem, wave in shown.truth.items()}
    waves["mixture"] = shown.mixture
    folder = index.parent / "audio" / "a-song"
    assert {path.stem for path in folder.iterdir()} == waves.keys()
    for name, true in waves.items():
        found, rate = soundfile.read(folder / f"{name}.flac", always_2d=True, dtype="float32")
        assert soundfile.info(folder / f"{name}.flac").subtype == "PCM_16"
        assert rate == RATE
        torch.testing.assert_close(torch.from_numpy(found.T), true, atol=1.01 * STEP, rtol=0)


def test_names_are_text_wherever_they_are(tmp_path):
    page = Reader(write_page(tmp_path, NASTY, [exhibit(NASTY, (NASTY,), (NASTY,))], NASTY))
    assert len(page.all("script")) == 1  # ours; none of the name's
    assert page.text("title") == page.text("h1") == page.text("h2") == [NASTY]
    assert NASTY in page.text("p")
    assert page.text("th").count(NASTY) == 2  # the method's column, the stem's row
    label = page.all("audio")[2]["aria-label"]  # after the mixture and the true stem
    assert label == f"{NASTY} by {NASTY}, {NASTY}"


def test_a_name_that_is_no_text(tmp_path):
    index = write_page(tmp_path, HALF_A_PAIR, [exhibit(HALF_A_PAIR)])
    assert "&#56553;" in index.read_text(encoding="utf-8")


def test_tables_headings_and_players_for_those_who_do_not_see(tmp_path):
    page = Reader(write_page(tmp_path, "Title", [exhibit("One"), exhibit("Two")]))
    assert page.text("h2") == ["One", "Two"]
    assert {a["scope"] for a in page.all("th")} == {"row", "col"}
    for player in page.all("audio"):
        assert "controls" in player
        assert player["preload"] == "none"
        assert player["aria-label"]
    assert all(a["alt"].startswith("Spectrogram: ") for a in page.all("img"))
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("a")[0] == {"class": "skip", "href": "#songs"}


def test_scores_as_they_are_said(tmp_path):
    scores = {
        "bass": {"sdr": 3.14, "si_sdr": -1.25, "sdr_i": 2.5, "sdr_frames": None},
        "drums": {"sdr": math.inf, "sdr_i": -math.inf},
    }
    heard = Estimates("glow", {"bass": wave(1), "drums": wave(2), "other": wave(3)}, scores)
    page = Reader(write_page(tmp_path, "Title", [Exhibit("One", RATE, wave(0), {}, [heard])]))
    assert page.text("dt") == ["SDR", "SI-SDR", "improvement", "frames", "SDR", "improvement"]
    assert page.text("dd") == ["3.1\xa0dB", "−1.2", "+2.5", "∞\xa0dB", "−∞"]
    assert page.text("span") == ["–"]


def test_what_a_method_lacks_is_said(tmp_path):
    heard = [
        Estimates("fewer", {}, {}),
        Estimates("more", {"bass": torch.full((1, RATE), math.nan), "residual": wave(1)}, {}),
    ]
    shown = Exhibit("One", RATE, wave(0), {"bass": wave(0)}, heard)
    page = Reader(write_page(tmp_path, "Title", [shown]))
    assert len(page.all("audio")) == 3  # the mixture, the true bass, more's residual
    reasons = [text for text in page.text("p") if text.startswith("no")]
    assert reasons == ["no such stem", "not a number or infinite"] + 2 * ["no such stem"]


def test_the_summary_may_hold_a_markdown_table(tmp_path):
    summary = "Words\nof one.\n\n| dB | all |\n|---|---:|\n| a<b | 1.5 |\n| c | – |\n\n| no table"
    page = Reader(write_page(tmp_path, "Title", [], summary))
    assert page.text("th") == ["dB", "all", "a<b", "c"]
    assert page.text("td") == ["1.5", "–"]
    assert page.text("p")[:2] == ["Words\nof one.", "| no table"]


def mel(hertz):
    return 2595 * math.log10(1 + hertz / 700)


@pytest.mark.parametrize("sample_rate", [8000, 22050, 44100])
def test_a_tone_is_a_line_at_its_height_and_level(sample_rate):
    top = min(HIGHEST, sample_rate / 2)
    for hertz in (110, 440, 3000):
        tone = torch.sin(2 * torch.pi * hertz * torch.arange(2 * sample_rate) / sample_rate)
        loud, soft = (decibels(gain * tone[None], sample_rate) for gain in (1.0, 0.1))
        assert loud.shape == (HEIGHT, WIDTH)
        row = int(loud[:, WIDTH // 2].argmax())
        assert row == pytest.approx(HEIGHT * mel(hertz) / mel(top), abs=3)
        assert float(loud.max() - soft.max()) == pytest.approx(20, abs=0.1)
    # opposite channels cancel in a mono sum, not in the picture
    torch.testing.assert_close(decibels(torch.stack([tone, -tone]), sample_rate), loud)


def test_one_song_is_in_memory_at_a_time(tmp_path):
    alive, most = weakref.WeakSet(), 0

    class Song(Exhibit):  # a class of ours: dataclasses can be told apart
        __hash__ = object.__hash__

    def songs():
        nonlocal most
        for name in ("One", "Two", "Three"):
            gc.collect()
            most = max(most, len(alive))
            one = exhibit(name, ("bass",), ())
            song = Song(one.song, RATE, one.mixture, one.truth, one.estimates)
            alive.add(song)
            del one
            yield song
            del song

    write_page(tmp_path, "Title", songs())
    assert most == 0


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_our_old_page_is_replaced_and_files_beside_it_stay(tmp_path):
    write_page(tmp_path, "Old", [exhibit("Old")])
    (tmp_path / "notes.txt").write_text("mine")
    index = write_page(tmp_path, "New", [exhibit("New", ("bass",), ("glow",))])
    names = {str(path.relative_to(tmp_path)) for path in contents(tmp_path)}
    stems = ("mixture", "true-stems-bass", "glow-bass")
    assert names == {"index.html", "notes.txt"} | {f"audio/new/{s}.flac" for s in stems} | {
        f"spectrograms/new/{s}.png" for s in stems
    }
    assert "New" in index.read_text()


@pytest.mark.parametrize("name", ["index.html", "notes.txt"])
def test_a_folder_of_somebody_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("<title>mine</title>")
    before = contents(tmp_path)
    with pytest.raises(
        OutputError, match=rf"holds '{name}', which is not part of a listening page; choose another"
    ):
        write_page(tmp_path, "Title", [exhibit()])
    assert contents(tmp_path) == before
    with pytest.raises(OutputError, match="is a file, not a folder"):
        write_page(tmp_path / name, "Title", [])


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interruption_leaves_the_old_page(tmp_path, error):
    def songs():
        yield exhibit("New")
        raise error("the data's, not ours")

    write_page(tmp_path, "Old", [exhibit("Old")])
    before = contents(tmp_path)
    with pytest.raises(error):
        write_page(tmp_path, "New", songs())
    assert contents(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"index.html", "audio", "spectrograms"}


# ---- in a browser ----

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    methods = ("glow", "a-method-of-a-very-long-name-without-any-space-in-it", "mask", "nmf")
    table = (
        "| dB | " + " | ".join(["stem"] * 9) + " |\n" + "|---" * 10 + "|\n" + "| 1.23 " * 10 + "|"
    )
    songs = [exhibit("A song", methods=methods), exhibit("W" * 80, ("bass",), ("glow",))]
    return write_page(folder, "W" * 80, songs, f"Words.\n\n{table}").as_uri()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs the programs chromium and chromedriver")
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, Service(driver))  # named: selenium looks for no other
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium, address):
    screen = {"width": 1280, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    chromium.get(address)
    yield chromium
    assert chromium.get_log("browser") == []  # no error, no warning, in any of the tests


def press(browser, *keys, held=""):
    from selenium.webdriver.common.action_chains import ActionChains

    actions = ActionChains(browser)
    if held:
        actions.key_down(held)
    actions.send_keys(*keys)
    if held:
        actions.key_up(held)
    actions.perform()


def wait(browser, condition):
    """Until a JavaScript expression over `players` is true; its value."""
    end = time.monotonic() + 10
    while not (value := look(browser, condition)):
        assert time.monotonic() < end, condition
        time.sleep(0.05)
    return value


def look(browser, expression):
    return browser.execute_script(
        f"const players = [...document.querySelectorAll('audio')]; return {expression}"
    )


FOCUSED = "players.indexOf(document.activeElement)"
PLAYING = "players.flatMap((player, index) => player.paused ? [] : [index])"


def test_every_player_and_picture_loads(browser):
    look(browser, "players.forEach(p => { p.preload = 'metadata'; p.load(); })")
    wait(browser, "players.every(p => p.readyState >= 1)")
    durations = look(browser, "players.map(p => p.duration)")
    assert durations == pytest.approx([SECONDS] * ((1 + 2 * 5) + (1 + 2)), abs=0.01)
    look(browser, "[...document.images].forEach(image => { image.loading = 'eager'; })")
    wait(browser, "[...document.images].every(image => image.complete)")
    assert set(look(browser, "[...document.images].map(i => i.naturalWidth)")) == {WIDTH}


def test_tab_reaches_the_skip_link_and_every_player_in_order(browser):
    from selenium.webdriver.common.keys import Keys

    press(browser, Keys.TAB)
    assert look(browser, "document.activeElement.className") == "skip"
    assert look(browser, "document.activeElement.getBoundingClientRect().top") >= 0
    press(browser, Keys.ENTER)
    press(browser, Keys.TAB)
    assert look(browser, FOCUSED) == 0
    assert look(browser, "getComputedStyle(players[0]).outlineStyle") == "solid"
    seen = [0]
    for _ in range(200):  # a player of Chromium has several stops
        press(browser, Keys.TAB)
        now = look(browser, FOCUSED)
        if now == -1:
            break
        seen += [now] if now != seen[-1] else []
    assert seen == list(range(look(browser, "players.length")))


def test_arrows_go_to_the_next_method_at_the_same_position(browser):
    from selenium.webdriver.common.keys import Keys

    look(browser, "players[1].focus()")  # the true bass
    look(browser, "players[1].currentTime = 1.5")
    press(browser, Keys.ARROW_RIGHT)
    assert look(browser, FOCUSED) == 2
    assert look(browser, "players[2].currentTime") == 1.5
    assert look(browser, PLAYING) == []  # what is paused stays so
    press(browser, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert look(browser, FOCUSED) == 5  # round to the last method, in the same row
    press(browser, Keys.ARROW_RIGHT)
    assert look(browser, FOCUSED) == 1
    look(browser, "players[1].playbackRate = 0.1")
    look(browser, "players[1].play()")
    wait(browser, "players[1].currentTime > 1.5")
    press(browser, Keys.ARROW_RIGHT)
    wait(browser, "players[2].readyState >= 3")
    assert look(browser, PLAYING) == [2]
    before, after = look(browser, "[players[1].currentTime, players[2].currentTime]")
    assert before - 0.01 <= after < before + 1  # the clock of a player is that of its sound card
    look(browser, "players[2].pause()")
    press(browser, Keys.ARROW_LEFT, held=Keys.SHIFT)
    assert look(browser, "players[2].currentTime") == 0
    assert look(browser, FOCUSED) == 2


def test_one_player_silences_the_others(browser):
    for index in (1, 7, 11):  # another row, another song
        look(browser, f"players[{index}].play()")
        wait(browser, f"players[{index}].currentTime > 0")
        assert look(browser, PLAYING) == [index]
        marked = "[...document.querySelectorAll('.playing audio')].map(p => players.indexOf(p))"
        assert wait(browser, f"({marked}).length === 1 && {marked}") == [index]


@pytest.mark.parametrize("width", [360, 500, 800, 1280])
def test_the_page_is_as_wide_as_the_window(browser, width):
    screen = {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    assert look(browser, "innerWidth") == width
    assert look(browser, "document.documentElement.scrollWidth") <= width
    look(browser, "scrollTo(1000, 0)")
    assert look(browser, "scrollX") == 0
    left, right = look(browser, "[1, 2].map(i => players[i].getBoundingClientRect().left)")
    if width < 600:
        assert left == right  # one below the other
        rights = look(browser, "players.map(p => p.getBoundingClientRect().right)")
        assert max(rights) <= width
    else:
        assert left < right


def test_it_works_without_scripts(browser, address):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(address)
        assert not browser.find_element("id", "keys").is_displayed()  # promises no keys then
        assert len(browser.find_elements("tag name", "audio")) == 14
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_it_follows_the_darkness_of_the_system(browser):
    ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    for scheme, dark in (("light", False), ("dark", True)):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        assert (max(look(browser, ground)[:3]) < 64) == dark
