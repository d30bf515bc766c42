"""What the demo puts into its clinics: names, a page of text as PDF, a logo."""

import io

from PIL import Image, ImageDraw, ImageFont

from clinic import incoming_files
from clinic.incoming_files import TakenFile

FIRST_NAMES = tuple(
    ["Aaliyah", "Abel", "Ada", "Aisha", "Amara", "Amir", "Anya", "Ben", "Bo", "Caleb", "Camila", "Chloe", "Dana", "David", "Elena", "Eli", "Emre", "Esther", "Farah", "Felix", "Finn", "Freya", "Gabriel", "Hana", "Hugo", "Ibrahim", "Ines", "Ivy", "Jack", "Jada", "Jin", "Jonah", "Kai", "Kenji", "Lars", "Layla", "Lena", "Lucia", "Malik", "Mateo", "Maya", "Mei", "Milo", "Nadia", "Noah", "Nora", "Oscar", "Priya", "Quinn", "Rafael", "Rosa", "Ruby", "Said", "Sofia", "Tariq", "Theo", "Uma", "Viktor", "Wren", "Yara"]
)
SURNAMES = tuple(
    ["Abbott", "Adeyemi", "Ahmed", "Baker", "Bauer", "Bianchi", "Chen", "Clark", "Cohen", "Costa", "Dubois", "Evans", "Fernandez", "Garcia", "Gupta", "Hansen", "Ito", "Jackson", "Jensen", "Johnson", "Kaur", "Khan", "Kim", "Kowalski", "Larsen", "Lee", "Mendes", "Miller", "Moreau", "Murphy", "Nguyen", "Novak", "Okoye", "Olsen", "Park", "Patel", "Perez", "Popov", "Rossi", "Ryan", "Santos", "Schmidt", "Silva", "Singh", "Smith", "Tran", "Turner", "Walker", "Weber", "Wilson", "Young"]
)
TEXT = "Goals: hold a pencil with three fingers; button a coat; take turns in a game for ten minutes."


def pdf(title: str, lines: list[str]) -> bytes:
    """One page of plain text."""
    drawn = [f"BT /F 18 Tf 72 740 Td ({_escaped(title)}) Tj ET"]
    drawn += [f"BT /F 12 Tf 72 {700 - 22 * row} Td ({_escaped(line)}) Tj ET" for row, line in enumerate(lines)]
    stream = "\n".join(drawn).encode("latin-1", "replace")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    written, places = io.BytesIO(b"%PDF-1.4\n"), []
    written.seek(0, io.SEEK_END)
    for number, body in enumerate(objects, start=1):
        places.append(written.tell())
        written.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    start = written.tell()
    written.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    written.writelines(b"%010d 00000 n \n" % place for place in places)
    written.write(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    return written.getvalue()


def taken(title: str, lines: list[str]) -> TakenFile:
    """The same, as a file that was sent."""
    return incoming_files.take(f"{title}.pdf", pdf(title, lines))


def logo(letter: str, colour: str) -> bytes:
    """A round mark with the clinic's first letter."""
    picture = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((4, 4, 252, 252), fill=colour)
    pen.text((128, 128), letter, fill="white", anchor="mm", font=ImageFont.load_default(size=150))
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
