"""What a family and the clinic write each other stays between the two of them, and reaches the one it is for."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from clinic import actors, contacts, conversations, demo, demo_papers, portal_settings, portal_users
from clinic.actors import Actor, ActorKind
from clinic.contacts import RelationshipKind
from clinic.conversations import Conversation, ConversationRow, Message, MessageAttachment, Written
from clinic.incoming_files import take
from clinic.portal_users import PortalAccess
from tenancy import clock, keys
from tenancy.database import db
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.tenant import Role
from tests.inside import acting, inside, letters, patient, user, written

PDF = demo_papers.pdf("A page", [])
PNG = demo_papers.logo("K", "#1f6f6b")
ANA = "ana@elm.example"
MARIA, OMAR = "maria@family.example", "omar@family.example"


@pytest.fixture
def leo(app: Flask) -> UUID:
    with inside(app, demo.ELM):
        return patient("Leo Lopez").id


def user_id(app: Flask, email: str, slug: str = demo.ELM) -> UUID:
    with inside(app, slug):
        return user(email).id


@contextmanager
def family(app: Flask, email: str = MARIA, slug: str = demo.ELM) -> Iterator[UUID]:
    """As this portal user, in the database too."""
    me = user_id(app, email, slug)
    with inside(app, slug, Role.PORTAL, me), actors.acting(Actor(ActorKind.PORTAL_USER, me)):
        yield me


@contextmanager
def desk(app: Flask) -> Iterator[None]:
    with inside(app, demo.ELM), acting(ANA):
        yield


def second_parent(app: Flask, patient_id: UUID) -> None:
    """Omar may see Leo too."""
    with inside(app, demo.ELM):
        omar = user(OMAR).id
        db.session.add(
            PortalAccess(
                portal_user_id=omar, patient_id=patient_id, relationship=RelationshipKind.PARENT, starts_at=clock.now() - timedelta(hours=1)
            )
        )


def ask(app: Flask, patient_id: UUID, subject: str = "A question", message: str = "How is it going?") -> UUID:
    with family(app):
        return conversations.ask(patient_id, subject, Written(message)).id


def waiting_letters(app: Flask) -> int:
    return sum(letter.kind == "message_waiting" for letter in letters(app, demo.ELM))


def standing(app: Flask) -> ConversationRow:
    """The demo's conversation, as staff see it."""
    with desk(app):
        return conversations.search()[0]


def test_a_question_and_its_answer_arrive(app: Flask, leo: UUID) -> None:
    """A parent would wait for ever, or the clinic would never hear of it."""
    asked = ask(app, leo)
    with desk(app):
        assert conversations.count_unread() == 1
        row = conversations.search()[0]
        assert row.id == asked and row.waits_for_clinic and row.unread == 1
        conversations.read_by_clinic(row, conversations.messages_of(row))
        assert conversations.count_unread() == 0
        assert conversations.search()[0].waits_for_clinic, "read is not answered"
        conversations.answer(asked, Written("Very well."))
        assert not conversations.get(asked).waits_for_clinic
    with family(app):
        row = conversations.get(asked)
        assert row.unread == 1
        messages = conversations.messages_of(row)
        assert [(each.text, each.is_from_clinic) for each in messages] == [("How is it going?", False), ("Very well.", True)]
        assert not any(each.staff_name for each in messages)
        conversations.read_by_family(row, messages)
        assert conversations.get(asked).unread == 0


def test_a_message_that_arrives_while_one_reads_stays_unread(app: Flask) -> None:
    """An answer that came between loading a page and noting it as read would never be seen."""
    found = standing(app)
    with family(app):
        seen = conversations.messages_of(conversations.get(found.id))
    with desk(app):
        conversations.answer(found.id, Written("And one more thing."))
    with family(app):
        row = conversations.get(found.id)
        conversations.read_by_family(row, seen)
        assert conversations.get(found.id).unread == 1


def test_the_letter_says_only_that_a_message_waits_and_comes_once(app: Flask) -> None:
    """A letter on a kitchen table would tell of the child; or ten of them would be ten reasons to stop reading."""
    found, before = standing(app), waiting_letters(app)
    assert before == 1
    page = next(each for each in written(app, demo.ELM) if "message waits" in each.subject)
    assert not any(word in page.text + page.html for word in ("Leo", "Lopez", "Maria", "Writing at home", "pencil"))
    with desk(app):
        conversations.answer(found.id, Written("Are you there?"))
    assert waiting_letters(app) == before, "the first is still unread"
    with family(app):
        row = conversations.get(found.id)
        conversations.read_by_family(row, conversations.messages_of(row))
    with desk(app):
        conversations.answer(found.id, Written("Good."))
    assert waiting_letters(app) == before + 1
    ask(app, found.patient_id)
    assert waiting_letters(app) == before + 1, "nobody is told of their own message"


def test_two_parents_never_see_each_others(app: Flask, leo: UUID) -> None:
    """A divorced parent would read what the other wrote to the clinic."""
    second_parent(app, leo)
    asked = ask(app, leo)
    with family(app, OMAR):
        assert conversations.of_portal_user(leo) == []
        for tried in (lambda: conversations.get(asked), lambda: conversations.reply(asked, Written("Hello"))):
            with pytest.raises(NotFound):
                tried()
        assert seen_directly() == (0, 0, 0)


def seen_directly() -> tuple[int, ...]:
    """How many rows the database itself shows whoever asks now."""
    return tuple(
        len(db.session.execute(text(f"SELECT id FROM {table}")).all())
        for table in ("conversations", "messages", "message_attachments")
    )


def _turn_off() -> None:
    portal_settings.get().allows_messages = False


def _revoke() -> None:
    for access in portal_users.access_to(patient("Leo Lopez").id):
        portal_users.unlink(access.id)


def _bills_only() -> None:
    for access in db.session.scalars(select(PortalAccess)):
        access.records = False


@pytest.mark.parametrize("ending", [_turn_off, _revoke, _bills_only])
def test_what_ended_ends_at_once_for_the_family_and_stays_for_staff(app: Flask, leo: UUID, ending: object) -> None:
    """A revoked caregiver would read on, or the clinic would lose what was said."""
    asked = ask(app, leo)
    with family(app):
        assert seen_directly() == (2, 2, 0)
    with desk(app):
        ending()  # type: ignore[operator]
    with family(app):
        assert seen_directly() == (0, 0, 0)
        with pytest.raises(NotFound):
            conversations.ask(leo, "Again", Written("Hello"))
    with family(app), pytest.raises(NotFound):
        conversations.reply(asked, Written("Hello"))
    with desk(app):
        assert conversations.messages_of(conversations.get(asked))
        conversations.close(asked)
        with pytest.raises(Conflict):
            conversations.write_to(user(MARIA).id, leo, "Hello", Written("Nobody could read this"))


def test_the_other_clinic_sees_nothing(app: Flask, leo: UUID) -> None:
    asked = ask(app, leo)
    with inside(app, demo.OAK):
        assert conversations.search() == []
        with pytest.raises(NotFound):
            conversations.get(asked)
    with family(app, slug=demo.OAK):
        assert seen_directly() == (0, 0, 0)


def test_a_closed_conversation_takes_nothing_until_it_is_reopened(app: Flask) -> None:
    """A family would write where nobody looks any more."""
    found = standing(app)
    with desk(app):
        conversations.close(found.id)
        with pytest.raises(Conflict):
            conversations.close(found.id)
        with pytest.raises(Conflict):
            conversations.answer(found.id, Written("Too late"))
    with family(app), pytest.raises(Conflict):
        conversations.reply(found.id, Written("Too late"))
    with desk(app):
        conversations.reopen(found.id)
        with pytest.raises(Conflict):
            conversations.reopen(found.id)
    with family(app):
        conversations.reply(found.id, Written("Hello again"))


@pytest.mark.parametrize("subject", ["", "   ", "x" * 36, "\x00\u202e"])
def test_a_subject_has_1_to_35_characters(app: Flask, leo: UUID, subject: str) -> None:
    with family(app), pytest.raises(Refused) as refusal:
        conversations.ask(leo, subject, Written("Hello"))
    assert refusal.value.field == "subject"


@pytest.mark.parametrize("message", ["", "\r\n \n", "x" * 2001])
def test_a_message_has_1_to_2000_characters(app: Flask, leo: UUID, message: str) -> None:
    with family(app), pytest.raises(Refused) as refusal:
        conversations.ask(leo, "A question", Written(message))
    assert refusal.value.field == "text"


def test_two_thousand_characters_with_a_browsers_line_ends_fit(app: Flask, leo: UUID) -> None:
    """Somebody who filled the field exactly would be told that it is too long."""
    with family(app):
        conversations.ask(leo, "x" * 35, Written("\r\n".join(["x" * 99] * 20)))


def test_hostile_text_is_kept_as_text(app: Flask, leo: UUID) -> None:
    asked = ask(app, leo, "a\u202egnp.exe", "a\x00b\x1b[2J\ud800'; DROP TABLE messages; --")
    with family(app):
        row = conversations.get(asked)
        assert row.subject == "agnp.exe"
        assert conversations.messages_of(row)[0].text == "ab[2J'; DROP TABLE messages; --"


def test_files_are_sealed_and_named_for_what_they_are(app: Flask, leo: UUID) -> None:
    """A copy of the database would show the family's scans; a program could come as a letter."""
    with family(app):
        asked = conversations.ask(
            leo, "Scans", Written("Here", [take("../../etc/pass:wd.pdf", PDF), take("C:\\scans\\knee.png", PNG), take("", PNG)])
        ).id
        row = conversations.get(asked)
        [files] = conversations.attachments_of(row).values()
        assert sorted(each.file_name for each in files) == ["file.png", "knee.png", "pass-wd.pdf"]
        first = next(each for each in files if each.media_type == "application/pdf")
        assert conversations.content_of(first) == PDF
        with pytest.raises(NotFound):
            conversations.get_attachment(row, uuid4())
    with desk(app):
        rows = db.session.scalars(select(MessageAttachment)).all()
        assert not any(PDF in each.sealed or PNG in each.sealed for each in rows)
        with pytest.raises(keys.Unreadable):  # moved to another row
            keys.unseal(rows[0].sealed, purpose="message_attachments", row_id=rows[1].id)


def test_a_message_takes_at_most_three_files(app: Flask, leo: UUID) -> None:
    with family(app):
        files = [take("a.pdf", PDF)] * 4
        with pytest.raises(Refused) as refusal:
            conversations.ask(leo, "A file", Written("Here", files))
        assert refusal.value.field == "file"
        assert len(conversations.of_portal_user(leo)) == 1, "the demo's only: nothing stays of what was refused"


def test_staff_write_only_to_somebody_who_can_read_it(app: Flask, leo: UUID) -> None:
    """A message to Grace, who has not accepted, or to Omar about somebody else's child, would leak or be lost."""
    with desk(app):
        sam = patient("Sam Grant").id
        for email, patient_id in (("grace@family.example", sam), (OMAR, leo)):
            with pytest.raises(Conflict):
                conversations.write_to(user(email).id, patient_id, "Hello", Written("Hello"))
        with pytest.raises(NotFound):
            conversations.write_to(user(MARIA).id, uuid4(), "Hello", Written("Hello"))


def test_the_list_pages_by_key_with_what_waits_first(app: Flask, leo: UUID) -> None:
    for number in range(5):
        ask(app, leo, f"Question {number}")
    with desk(app):
        walked, after = [], None
        while rows := conversations.search(after=after, limit=2):
            walked += rows
            after = rows[-1].cursor
        assert [row.subject for row in walked] == [*(f"Question {number}" for number in (4, 3, 2, 1, 0)), "Writing at home"]
        assert conversations.search(after=("no place", uuid4())) is not None


FORBIDDEN = {
    "another's conversation": "INSERT INTO conversations (clinic_id, portal_user_id, patient_id, subject, started_at) SELECT clinic_id, '{omar}', patient_id, 'x', now() FROM conversations",
    "a patient of others": "INSERT INTO conversations (clinic_id, portal_user_id, patient_id, subject, started_at) SELECT clinic_id, portal_user_id, '{zoe}', 'x', now() FROM conversations",
    "a message as staff": "INSERT INTO messages (clinic_id, conversation_id, staff_member_id, written_at, text) SELECT clinic_id, conversation_id, staff_member_id, now(), 'x' FROM messages",
    "a changed subject": "UPDATE conversations SET subject = 'x'",
    "a reopened conversation": "UPDATE conversations SET closed_at = NULL",
    "the clinic's mark": "UPDATE conversations SET clinic_read_at = now()",
    "a changed message": "UPDATE messages SET text = 'x'",
    "a deleted message": "DELETE FROM messages",
    "a deleted conversation": "DELETE FROM conversations",
}


@pytest.mark.parametrize("statement", FORBIDDEN.values(), ids=FORBIDDEN)
def test_the_database_itself_refuses_a_portal_user(app: Flask, statement: str) -> None:
    """A forgotten check in a view would let a parent write as the clinic, or change what was said."""
    with inside(app, demo.ELM):
        others = {"omar": user(OMAR).id, "zoe": patient("Zoe Haddad").id}
    with family(app):
        with pytest.raises(ProgrammingError), db.session.begin_nested():
            db.session.execute(text(statement.format(**others)))
        db.session.execute(text("UPDATE conversations SET family_read_at = now()"))  # this they may


def test_the_database_takes_no_message_into_a_closed_conversation(app: Flask) -> None:
    found = standing(app)
    with desk(app):
        conversations.close(found.id)
    with family(app):
        late = Message(conversation_id=found.id, written_at=clock.now(), text="Late")
        with pytest.raises(ProgrammingError), db.session.begin_nested():
            db.session.add(late)
            db.session.flush()


def test_staff_change_and_delete_no_message(app: Flask) -> None:
    """What was said to a family would not be what the record shows."""
    for statement in ("UPDATE messages SET text = 'x'", "DELETE FROM messages", "DELETE FROM conversations"):
        with desk(app), pytest.raises(ProgrammingError), db.session.begin_nested():
            db.session.execute(text(statement))


def test_every_step_is_in_the_audit_log_without_its_words(app: Flask, leo: UUID) -> None:
    asked = ask(app, leo, "Secret subject", "Secret text")
    with desk(app):
        conversations.answer(asked, Written("Secret answer"))
        conversations.close(asked)
        entries = db.session.execute(
            text("SELECT event, details::text, patient_id FROM audit_entries WHERE event ~ '^(conversation|message)' ORDER BY at DESC LIMIT 4")
        ).all()
    assert {each.event for each in entries} == {
        "conversation.started", "message.written", "conversation.closed"
    }
    assert all(each.patient_id == leo and "ecret" not in each.details for each in entries)


def test_a_contact_alone_reads_nothing(app: Flask) -> None:
    """Who is noted as a contact has no access by that."""
    with desk(app):
        zoe = patient("Zoe Haddad").id
        maria = contacts.of_patient(patient("Leo Lopez").id)[0].contact_id
        contacts.stand_by(maria, zoe, RelationshipKind.OTHER)
        with pytest.raises(Conflict):
            conversations.write_to(user(MARIA).id, zoe, "Hello", Written("Hello"))
        assert db.session.scalars(select(Conversation).where(Conversation.patient_id == zoe)).all() == []
