"""A throw-away certificate authority, made with the openssl command."""

import pathlib
import subprocess

LOCAL_NAMES = "DNS:localhost,IP:127.0.0.1"

_CA_CONFIG = """\
[ca]
default_ca = here
[here]
database = {database}
new_certs_dir = {directory}
default_md = sha256
policy = any
rand_serial = yes
unique_subject = no
[any]
commonName = supplied
[server]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = {names}
"""


class Authority:
    """Signs server certificates; `certificate` is what a client has to trust."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.certificate = self.directory / "ca.pem"
        self._key = self.directory / "ca.key"
        if not self.certificate.exists():
            self._new_key(self._key)
            self._openssl("req", "-x509", "-new", "-key", self._key, "-out", self.certificate,
                          "-days", "3650", "-subj", "/CN=mailfs test authority")

    def issue(self, name="server", names=LOCAL_NAMES, expired=False):
        """Returns (certificate, key) as paths. `names` is an OpenSSL subjectAltName value."""
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        request, config = self.directory / f"{name}.csr", self.directory / f"{name}.cnf"
        database = self.directory / f"{name}.db"
        database.touch()
        config.write_text(_CA_CONFIG.format(database=database, directory=self.directory,
                                            names=names))
        self._new_key(key)
        self._openssl("req", "-new", "-key", key, "-out", request, "-subj", f"/CN={name}")
        first, last = ("20200101000000Z", "20210101000000Z") if expired else \
                      ("20200101000000Z", "20491231000000Z")
        self._openssl("ca", "-batch", "-notext", "-config", config, "-extensions", "server",
                      "-cert", self.certificate, "-keyfile", self._key, "-in", request,
                      "-out", certificate, "-startdate", first, "-enddate", last)
        return certificate, key

    def _new_key(self, path):
        self._openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-out", path)
        path.chmod(0o600)

    @staticmethod
    def _openssl(*arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace')}")
