"""Fixtures of the mount tests: one Dovecot for all, a fresh account for each test."""

import contextlib
import itertools
import signal

import pytest
from support import dovecot, mounting
from support.account import Account

_numbers = itertools.count(1)


def pytest_configure(config):
    # A shell starts its background jobs with SIGINT ignored, nohup with SIGHUP, and what they start
    # would ignore them, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.addinivalue_line("markers", "deadline(seconds): how long this test may take at most")


@pytest.fixture(scope="session", autouse=True)
def fuse_works():
    mounting.check_fuse()


@pytest.fixture(scope="session")
def shared_dovecot():
    with dovecot.Dovecot(users=()) as server:
        yield server


@pytest.fixture
def account(shared_dovecot):
    """An empty account on the Dovecot that all tests share: it may not be stopped."""
    one = Account(shared_dovecot, f"user{next(_numbers)}")
    yield one
    one.close()


@pytest.fixture
def own_dovecot():
    """Dovecots of the test's own: a function of Dovecot's arguments that returns an Account."""
    made = []

    def make(**options):
        server = dovecot.Dovecot(**options)
        made.append(server)
        made.append(Account(server.start(), "alice"))
        return made[-1]

    yield make
    for one in reversed(made):
        one.close()


@pytest.fixture
def home(request):
    """The private directories of a mailfs user. Every mount in them ends with the test, or is
    killed when the test takes too long."""
    marker = request.node.get_closest_marker("deadline")
    one = mounting.Home()
    try:
        with mounting.deadline(marker.args[0] if marker else 120, one):
            yield one
    finally:
        one.close()


@pytest.fixture
def mount(home):
    """mount(account, **options): an account mounted, see mounting.Mount."""
    def make(account, url=None, **options):
        return home.mount(url or account.url(), **(account.login() | options))
    return make


@pytest.fixture(scope="module")
def module_mount(shared_dovecot):
    """module_mount(fill, **options): (account, mount) for all tests of a module, where they leave
    it as it was. fill(client) puts the mail into the new account."""
    with contextlib.ExitStack() as stack:
        def make(fill, **options):
            one = Account(shared_dovecot, f"user{next(_numbers)}")
            stack.callback(one.close)
            fill(one.client)
            home = mounting.Home()
            stack.callback(home.close)
            stack.enter_context(mounting.deadline(300, home))
            return one, home.mount(one.url(), **(one.login() | options))

        yield make
