"""A terminal in a browser: real keys in headless Chromium, the real hub, the real agent."""

import re

import pytest

from harness.browser import CHROMIUM, Browser, Page
from harness.hub import read_credentials
from harness.wait import until


@pytest.fixture
def browse(home):
    """Opens browsers; the page of one, that has shown nothing yet."""
    browsers = []

    def make(hub, *options: str) -> Page:
        if CHROMIUM is None:
            pytest.skip("chromium is not installed (apt-get install chromium)")
        if 'data-terminal="there"' not in hub.get("/console")[1]:
            pytest.skip("this hub was built without its browser terminal (make console)")
        browsers.append(Browser(home, *options))
        return browsers[-1].page

    yield make
    for browser in browsers:
        browser.close()


@pytest.fixture
def page(hub, browse) -> Page:
    """A browser's page."""
    return browse(hub)


@pytest.fixture
def reachable(client, agent):
    """The agent, which holds a channel."""
    has_channel(client, agent.node)
    return agent


def has_channel(client, node: str) -> None:
    """Waits until a node can be reached."""
    connected = lambda: client.get_connection_status(Target=node)["Status"] == "connected"  # noqa: E731
    until("the node has a channel", connected)


def log_in(page: Page, key: tuple[str, str]) -> None:
    """Types a key into the form."""
    page.fill("#access-key", key[0])
    page.fill("#secret", key[1])
    page.type("\n")


def opened(page: Page, hub, node: str) -> None:
    """Opens a shell on a node."""
    page.go(f"{hub.endpoint}/console/sessions/{node}")
    log_in(page, hub.credentials())
    page.fill("#reason", "ticket 7")
    page.type("\n")
    page.wait_for("#state", "connected")


def terminal_size(page: Page) -> tuple[int, int]:
    """Rows and columns, as the shell knows them."""
    before = len(sizes(page))
    page.type("stty size\n")
    until("stty has answered", lambda: len(sizes(page)) > before)
    rows, columns = sizes(page)[-1].split()
    return int(rows), int(columns)


def sizes(page: Page) -> list[str]:
    """What stty has said."""
    return [line for line in page.screen() if re.fullmatch(r"\d+ \d+", line)]


def test_a_shell_in_a_browser_follows_its_window_and_outlives_a_reload(page, hub, reachable):
    opened(page, hub, reachable.node)
    page.type("kept=yes; echo $((6*7))x\n")
    page.shows("42x")
    rows, columns = terminal_size(page)
    assert rows == len(page.screen())
    page.resize(720, 420)
    until("the terminal is smaller", lambda: len(page.screen()) < rows)
    smaller = terminal_size(page)
    assert smaller[0] == len(page.screen()) and smaller[1] < columns
    page.reload()
    page.wait_for("#state", "connected")
    page.type("echo kept:$kept\n")
    page.shows("kept:yes")
    page.click("#end")
    page.wait_for("#state", "ended")
    assert "terminated the session" in page.text("#why")
    session = "SELECT COUNT(*), MAX(reason), MAX(access_key), MAX(status) FROM session"
    on_record = (1, "ticket 7", hub.credentials()[0], "Terminated")
    until("the session is on record", lambda: hub.row(session) == on_record)
    # What has ended isn't gone on with.
    page.click("#anew")
    page.click("#open")
    page.wait_for("#state", "connected")
    page.type("echo kept:$kept; exit\n")
    page.wait_for("#why", "The session has ended.")
    assert "kept:" in page.screen()
    assert page.complaints == []


def test_a_session_that_goes_on_in_another_tab_is_left_by_the_first(page, hub, reachable):
    opened(page, hub, reachable.node)
    page.type("kept=yes; echo here\n")
    page.shows("here")
    # As when a tab is duplicated: the other one has all that the first has kept.
    kept = page.look("JSON.stringify({...sessionStorage})")
    # And goes on until the other one is there.
    page.type("kept=later; echo changed\n")
    page.shows("changed")
    other = page.browser.new_tab()
    other.go(f"{hub.endpoint}/console")
    other.wait_for("#nodes a")
    other.run(f"Object.assign(sessionStorage, {kept})")
    other.click("#nodes a")
    other.wait_for("#state", "connected")
    page.wait_for("#why", "The session goes on in another tab.")
    other.type("echo kept:$kept\n")
    other.shows("kept:later")
    assert hub.row("SELECT COUNT(*) FROM session") == (1,)
    assert page.complaints + other.complaints == []


def test_a_hub_that_is_killed_still_knows_who_is_logged_in_and_the_shell_goes_on(page, hub, reachable):
    opened(page, hub, reachable.node)
    page.type("kept=yes\n")
    hub.kill()
    page.wait_for("#state", "reconnecting")
    hub.start()
    page.wait_for("#state", "connected")
    page.type("echo kept:$kept\n")
    page.shows("kept:yes")
    assert page.complaints == []


def test_who_has_no_key_gets_no_terminal_and_who_logs_out_has_none_any_more(page, hub, reachable):
    key, secret = hub.credentials()
    page.go(f"{hub.endpoint}/console")
    log_in(page, (key, "not-the-secret"))
    page.wait_for("#wrong", "The access key id or the secret is wrong.")
    assert page.text("#list") == ""
    log_in(page, (key, secret))
    page.click("#nodes a")
    page.click("#open")
    page.wait_for("#state", "connected")
    assert page.look("document.cookie") == ""
    page.click("#logout")
    page.wait_for("#login")
    status = page.look("fetch('/console/nodes').then((answer) => answer.status)")
    assert (status, page.look("location.pathname")) == (401, "/console")
    ended = "SELECT details FROM session WHERE ended_at IS NOT NULL OR end_wanted_at IS NOT NULL"
    assert hub.row(ended) == ("The log-in of the session's browser has ended.",)
    log = hub.program.logs()
    for words in ("log-in refused", "ConsoleLogin", "ConsoleLogout", "StartSession"):
        assert words in log, words
    assert secret not in log and "not-the-secret" not in log
    assert page.complaints == []


def test_who_logs_in_in_one_tab_is_logged_in_in_all_of_them(page, hub, reachable):
    other = page.browser.new_tab()
    for tab in (page, other):
        tab.go(f"{hub.endpoint}/console")
        tab.wait_for("#login")
    log_in(page, hub.credentials())
    for tab in (page, other):
        tab.wait_for("#nodes a")
    assert hub.row("SELECT COUNT(*) FROM console_login") == (1,)
    assert page.complaints + other.complaints == []


def test_a_tab_that_hears_too_late_that_nobody_is_logged_in_needs_no_other_log_in(page, hub, reachable):
    page.go(f"{hub.endpoint}/console")
    log_in(page, hub.credentials())
    page.wait_for("#nodes a")
    other = page.browser.new_tab()
    # The answer to its first question was on its way when the other tab said that it is logged in.
    late = (
        "const real = fetch; window.fetch = () => { window.fetch = real;"
        " return Promise.resolve(new Response('{}', {status: 401})) }"
    )
    other.ask("Page.addScriptToEvaluateOnNewDocument", source=late)
    other.go(f"{hub.endpoint}/console")
    other.wait_for("#nodes a")
    assert other.text("#login") == "" and hub.row("SELECT COUNT(*) FROM console_login") == (1,)
    assert page.complaints + other.complaints == []


def test_a_session_ends_with_a_log_in_that_was_not_used_for_an_hour(page, hub, reachable):
    opened(page, hub, reachable.node)
    assert hub.pretend("UPDATE console_login SET used_at = 0") == 1
    page.wait_for("#why", "The log-in of the session's browser has ended.")


def test_a_log_in_is_kept_by_who_types_and_not_by_what_the_terminal_answers_to_programs(
    page, hub, reachable, tmp_path
):
    opened(page, hub, reachable.node)
    page.type(f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; printf '\\033[6n'; echo; echo asked\n")
    # Five minutes later.
    page.run("window.asks = 0; performance.now = () => 1e9; undefined")
    page.run(
        "{ const real = fetch; window.fetch = (...all) =>"
        " { asks += all[0] === '/console/login' ? 1 : 0; return real(...all) } }"
    )
    (tmp_path / "go").touch()
    page.shows("asked")
    assert page.run("asks") == 0
    page.type("x")
    until("the page has asked who is logged in", lambda: page.run("asks") == 1)


def test_an_operator_whom_the_rules_forbid_the_node_gets_no_terminal_either(page, hub, reachable):
    other = read_credentials(hub.access_key("create", "--description", "guest"))
    hub.session("allow", hub.credentials()[0], "--documents", "*")
    page.go(f"{hub.endpoint}/console/sessions/{reachable.node}")
    log_in(page, other)
    page.click("#open")
    page.wait_for("#refused", "no rule allows it")
    assert hub.row("SELECT COUNT(*) FROM session") == (0,)


def test_over_tls_a_log_in_stays_on_tls_and_the_terminal_is_the_same(browse, new_hub, client_of, new_agent):
    hub = new_hub("--tls-self-signed")
    client = client_of(hub, verify=str(hub.ca()))
    agent = new_agent()
    activation = client.create_activation(IamRole="EdgeRole", RegistrationLimit=1)
    agent.register(hub, activation, "--ca-file", hub.ca())
    agent.start()
    has_channel(client, agent.node)
    # No browser knows the hub's own authority.
    page = browse(hub, "--ignore-certificate-errors")
    opened(page, hub, agent.node)
    page.type("echo $((6*7))x\n")
    page.shows("42x")
    (cookie,) = page.ask("Network.getCookies", urls=[f"{hub.endpoint}/console/nodes"])["cookies"]
    assert cookie["secure"] and cookie["httpOnly"] and cookie["sameSite"] == "Strict", cookie
    assert page.ask("Network.getCookies", urls=[hub.endpoint])["cookies"] == []
    assert page.complaints == []
