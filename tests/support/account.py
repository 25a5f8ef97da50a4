"""One user of a test's server."""


class Account:
    """A user of a Dovecot, and a client logged in as that user."""

    def __init__(self, server, user):
        self.server, self.user = server, server.add_user(user)
        self._client = None

    @property
    def client(self):
        if self._client is None:
            self._client = self.server.client(self.user)
        return self._client

    def reconnect(self):
        self._client = None

    def close(self):
        if self._client:
            self._client.close()

    def url(self, scheme="imaps"):
        return self.server.url(self.user, scheme)

    def login(self):
        """Keyword arguments for Home.mount."""
        return {"password": self.server.password, "ca_file": self.server.ca_file}
