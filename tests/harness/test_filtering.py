"""The server that tells less, wherever the network cuts what it says."""

from support.filtering import strip

SAID = (b"* OK [COPYUID 7 1:2 4:5] Moved.\r\n* 1 EXPUNGE\r\nm3 OK [APPENDUID 7 9] Done.\r\n"
        b"* 2 FETCH (BODY[] {3}\r\n[a])\r\nm4 OK [READ-WRITE] Selected.\r\n")
LESS = (b"* OK Moved.\r\n* 1 EXPUNGE\r\nm3 OK Done.\r\n"
        b"* 2 FETCH (BODY[] {3}\r\n[a])\r\nm4 OK [READ-WRITE] Selected.\r\n")


def test_every_cut():
    for cut in range(len(SAID) + 1):
        first, kept = strip(SAID[:cut])
        second, rest = strip(kept + SAID[cut:])
        assert first + second + rest == LESS, cut


def test_byte_by_byte():
    out, kept = b"", b""
    for byte in SAID:
        passed, kept = strip(kept + bytes([byte]))
        out += passed
    assert out + kept == LESS
