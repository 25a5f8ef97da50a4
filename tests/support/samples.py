"""About 200 sample messages for the demo and the tests, the same ones every time.

Everything is made here: names, texts and attachments. `build()` returns Samples in the order in
which they were delivered; `load()` puts them into an account.
"""

import base64
import dataclasses
import datetime
import io
import quopri
import random
import struct
import zipfile
import zlib
from email.utils import format_datetime

FOLDERS = ["INBOX", "INBOX/Projects", "INBOX/Projects/Lighthouse", "Archive", "Archive/2024",
           "Archive/2025", "Sent", "Drafts", "Junk", "日本語", "Reisen/Zürich & Umgebung",
           "Rabatt 20%", "Listen/böte", "Empty"]

FIRST = datetime.datetime(2024, 6, 3, 8, 0, tzinfo=datetime.timezone.utc)
ME = "Alice Example <alice@example.org>"

PEOPLE = [
    ("Bob Sawyer", "bob@example.com"), ("Carla Núñez", "carla@example.net"),
    ("Dmitri Волков", "dmitri@example.ru.invalid"), ("Eve O'Hara", "eve@example.com"),
    ("Jürgen Weiß", "juergen@example.de.invalid"), ("山田 花子", "hanako@example.jp.invalid"),
    ("Ops, Night Shift", "ops@example.org"), ("", "no-name@example.net"),
]

SUBJECTS = [
    "Quarterly report", "Lunch on Thursday?", "The lighthouse drawings", "Keys for the boat house",
    "Minutes of Monday's meeting", "Train times", "Invoice 20240817", "Re-tiling the kitchen",
    "A question about sails", "Weather for the weekend", "Choir rehearsal moved",
    "Your library books are due", "Backup finished: 3 warnings", "Photos of the harbour",
]

SENTENCES = [
    "The tide was lower than the table had promised, so we walked out to the second buoy.",
    "Please look at the second page, where the numbers for May do not add up.",
    "I left the spare key with the neighbour who keeps the two grey cats.",
    "If nobody objects by Friday, I shall order the larger of the two sails.",
    "The wind turned at noon, and after that nobody spoke of the weather again.",
    "Could you bring the long ladder? Ours is one step too short for the lamp.",
    "We measured everything twice: the door is four millimetres wider than its frame.",
    "The report is finished but for the last table, which waits for the harbour office.",
    "There is soup in the pot and bread on the shelf; help yourself.",
    "Tomorrow's rehearsal starts at seven, in the small hall behind the workshop.",
]


@dataclasses.dataclass
class Sample:
    folder: str
    raw: bytes
    flags: tuple
    date: float  # seconds: INTERNALDATE


def build():
    maker = _Maker()
    for number in range(100):
        maker.plain(number)
    maker.threads()
    maker.encodings()
    maker.attachments()
    maker.special()
    return sorted(maker.samples, key=lambda one: one.date)


def load(client, samples=None):
    """Makes the folders and appends all messages over IMAP (needs MULTIAPPEND)."""
    samples = build() if samples is None else samples
    existing = set(client.folders())
    for name in FOLDERS:
        if name not in existing:
            client.create(name)
    for folder in FOLDERS:
        chosen = [(one.raw, one.flags, one.date) for one in samples if one.folder == folder]
        if chosen:
            client.append_many(chosen, folder)
    return samples


# ---- pieces of a message ----

def word(text, charset="utf-8", how="B"):
    """One RFC 2047 encoded word."""
    data = text.encode(charset)
    if how == "B":
        return f"=?{charset}?B?{base64.b64encode(data).decode()}?="
    quoted = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isalnum()
                     else "_" if byte == 32 else f"={byte:02X}" for byte in data)
    return f"=?{charset}?Q?{quoted}?="


def header_text(text):
    """As it is when it is ASCII, else in encoded words of a few characters each."""
    if text.isascii():
        return text
    return "\r\n ".join(word(text[first:first + 12]) for first in range(0, len(text), 12))


def png(width, height, colour):
    """A small picture: a gradient of one colour."""
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))
    rows = b"".join(b"\0" + bytes((channel * (x + y)) // (width + height) & 255
                                  for x in range(width) for channel in colour)
                    for y in range(height))
    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def pdf(text):
    """One page that says `text`."""
    stream = f"BT /F1 18 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def archive(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in files.items():
            packed.writestr(zipfile.ZipInfo(name, (2025, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()


def base64_lines(data):
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def lines(text):
    return "\r\n".join(text.splitlines()) + "\r\n"


class _Maker:
    def __init__(self):
        self.random = random.Random(20240603)
        self.samples = []
        self.now = FIRST

    # ---- common parts ----

    def clock(self):
        """Steps forward: some two years for all messages."""
        self.now += datetime.timedelta(minutes=self.random.randrange(1800, 9000))
        return self.now

    def text(self, paragraphs=2):
        return "\n\n".join(" ".join(self.random.sample(SENTENCES, 3)) for _ in range(paragraphs))

    def identity(self):
        return f"<sample.{len(self.samples)}.{self.random.getrandbits(48):x}@mail.example.org>"

    def add(self, folder, subject, body, *, sender=None, to=ME, headers=(), flags=(), raw_subject=None,
            content="text/plain; charset=utf-8", encoding=None, date=None, identity=None):
        """`body` is bytes in wire form. Returns the Message-ID."""
        date, identity = date or self.clock(), identity or self.identity()
        name, address = sender or self.random.choice(PEOPLE)
        if "," in name:
            name = f'"{name}"'
        head = [f"From: {header_text(name)} <{address}>" if name else f"From: {address}",
                f"To: {to}", f"Subject: {raw_subject or header_text(subject)}",
                f"Date: {format_datetime(date)}", f"Message-ID: {identity}", "MIME-Version: 1.0",
                *headers, f"Content-Type: {content}"]
        if encoding:
            head.append(f"Content-Transfer-Encoding: {encoding}")
        raw = "\r\n".join(head).encode("utf-8") + b"\r\n\r\n" + body
        self.samples.append(Sample(folder, raw, tuple(flags), date.timestamp()))
        return identity

    def multipart(self, kind, parts):
        """(content type and body) of a multipart made of (headers, bytes) pairs."""
        boundary = f"=_{self.random.getrandbits(64):016x}"
        body = b"".join(b"--" + boundary.encode() + b"\r\n" + "\r\n".join(headers).encode()
                        + b"\r\n\r\n" + data + b"\r\n" for headers, data in parts)
        return (f'multipart/{kind}; boundary="{boundary}"',
                body + b"--" + boundary.encode() + b"--\r\n")

    # ---- the messages ----

    def plain(self, number):
        folder = self.random.choice(["INBOX"] * 5 + ["INBOX/Projects", "Archive/2024",
                                                     "Archive/2025", "Sent"])
        flags = [] if number % 4 == 0 and folder == "INBOX" else ["\\Seen"]
        if number % 11 == 0:
            flags.append("\\Flagged")
        if number % 7 == 0 and folder != "Sent":
            flags.append("\\Answered")
        subject = f"{self.random.choice(SUBJECTS)} ({number})"
        mine = {"sender": ("Alice Example", "alice@example.org"), "to": "bob@example.com"}
        body = lines(self.text(1 + number % 4)).encode()
        self.add(folder, subject, body, flags=flags, **(mine if folder == "Sent" else {}))

    def threads(self):
        """Five conversations of seven: each answers the one before and names all of them."""
        for topic in ("Mooring for the winter", "New strings", "Ferry timetable",
                      "日程の相談", "Größere Küche"):
            folder = {"日程の相談": "日本語", "Größere Küche": "Reisen/Zürich & Umgebung"}.get(
                topic, "INBOX/Projects/Lighthouse")
            chain, quoted = [], ""
            for turn in range(7):
                headers = []
                if chain:
                    headers = [f"In-Reply-To: {chain[-1]}",
                               "References: " + "\r\n ".join(chain)]
                text = self.text(1)
                body = text + quoted
                quoted = "\n\n" + "\n".join("> " + line for line in body.splitlines())
                chain.append(self.add(folder, ("Re: " if turn else "") + topic,
                                      lines(body).encode(), headers=headers, encoding="8bit",
                                      flags=["\\Seen"] if turn < 5 else []))

    def encodings(self):
        german = ("Grüße aus Zürich: Die Fähre fährt um ½ 8, das Schloß öffnet erst später.\n"
                  "Müßte man da nicht früher aufstehen? = Ja! ")
        japanese = "明日の会議は三時からです。\n資料を持ってきてください。よろしくお願いします。\n"
        russian = "Привет! Лодка готова, ждём хорошей погоды.\n"
        for number in range(4):
            text = lines(german + str(number))
            self.add("Reisen/Zürich & Umgebung", f"Fähre Nr. {number}: Abfahrt & Rückkehr",
                     quopri.encodestring(text.encode("latin-1"), quotetabs=False)
                     .replace(b"\r=0A", b"\r\n").replace(b"=0D\n", b"\r\n"),
                     content="text/plain; charset=iso-8859-1", encoding="quoted-printable",
                     raw_subject=word(f"Fähre Nr. {number}: Abfahrt & Rückkehr", "iso-8859-1",
                                      "Q"))
            self.add("日本語", f"会議 {number}", base64_lines(lines(japanese).encode("utf-8")),
                     encoding="base64")
            self.add("日本語", "", lines(japanese).encode("iso-2022-jp"), encoding="7bit",
                     content="text/plain; charset=iso-2022-jp",
                     raw_subject=word(f"資料の件 {number}", "iso-2022-jp"))
            self.add("INBOX", "", lines(russian).encode("koi8-r"), encoding="8bit",
                     content="text/plain; charset=koi8-r",
                     raw_subject=word(f"Лодка готова {number}", "koi8-r"), flags=["\\Seen"])
            self.add("Listen/böte", f"Bötli-Liste {number}", lines(german).encode("windows-1252"),
                     content="text/plain; charset=windows-1252", encoding="8bit")
        self.flowed()
        self.alternatives()

    def flowed(self):
        for number in range(6):
            text = "\r\n".join(sentence[:40].rstrip() + " \r\n" + sentence[40:].lstrip()
                               for sentence in self.random.sample(SENTENCES, 3))
            self.add("INBOX", f"Flowing text {number}", text.encode() + b"\r\n-- \r\nBob\r\n",
                     content="text/plain; charset=us-ascii; format=flowed; delsp=no")

    def alternatives(self):
        for number in range(10):
            text = lines(self.text())
            html = "<html><body>" + "".join(f"<p>{line}</p>\r\n" for line in text.splitlines()
                                            if line) + "</body></html>\r\n"
            kind, body = self.multipart("alternative", [
                (["Content-Type: text/plain; charset=utf-8"], text.encode()),
                (["Content-Type: text/html; charset=utf-8",
                  "Content-Transfer-Encoding: quoted-printable"],
                 html.replace("=", "=3D").encode())])
            self.add("Rabatt 20%" if number % 2 else "Junk", f"Only this week: 20% off sail no. {number}",
                     body, content=kind, headers=["List-Unsubscribe: <mailto:off@example.net>"])

    def attachments(self):
        for number in range(20):
            choices = [
                ("chart.png", "image/png", png(48, 32, (80 + number, 160, 240))),
                (f"report-{number}.pdf", "application/pdf", pdf(f"Report {number}")),
                ("tides.csv", "text/csv; charset=utf-8", self.table()),
                ("bundle.zip", "application/zip",
                 archive({"readme.txt": "Two files.\n", "tides.csv": self.table()})),
            ]
            parts = [(["Content-Type: text/plain; charset=utf-8"], lines(self.text(1)).encode())]
            for name, kind, data in self.random.sample(choices, 1 + number % 3):
                parts.append(([f'Content-Type: {kind}; name="{name}"',
                               f'Content-Disposition: attachment; filename="{name}"',
                               "Content-Transfer-Encoding: base64"], base64_lines(data)))
            kind, body = self.multipart("mixed", parts)
            folder = ("INBOX", "Archive/2025", "INBOX/Projects/Lighthouse", "Archive")[number % 4]
            self.add(folder, f"Attached: {parts[1][0][1].split('=')[1]}", body, content=kind,
                     flags=["\\Seen"] if number % 3 else [])

    def table(self):
        rows = ["day;high;low"] + [f"{day};{self.random.uniform(3, 5):.2f};"
                                   f"{self.random.uniform(0, 2):.2f}" for day in range(1, 32)]
        return "\r\n".join(rows).encode()

    def special(self):
        """Names and shapes that a file system has to think about."""
        for subject in ("a/b/c: paths in a subject", "..", ".hidden", "-rf *", "tabs\there",
                        "CON: \"quotes\" 'and' <angles> | pipes", "🎉 Party 🎉🎉", "x" * 300,
                        "e\u0301t\u00e9: composed and not", "שלום and مرحبا"):
            self.add("Archive", subject, lines(self.text(1)).encode())
        self.add("INBOX", "", b"No subject at all.\r\n", raw_subject=" ")
        self.add("INBOX", "An empty body", b"", flags=["\\Seen", "\\Flagged"])
        self.add("Drafts", "Unfinished", b"Dear all,\r\n", flags=["\\Draft", "\\Seen"],
                 sender=("Alice Example", "alice@example.org"))
        self.add("Archive", "One long line", b"word " * 1500 + b"\r\n")
        self.add("Archive", "No line end", b"the last line has no end")
        self.samples.append(Sample("Archive", b"X-Only-A-Header: yes\r\n\r\n", ("\\Seen",),
                                   self.clock().timestamp()))
