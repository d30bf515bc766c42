"""A patient's contacts, and below them who may see the patient on the portal."""

from uuid import UUID

from flask import Response, flash, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.wrappers import Response as AnyResponse
from wtforms import BooleanField, HiddenField, SelectChoice, SelectField, SelectMultipleField, StringField
from wtforms.validators import Optional

from admin_app import guards, paging, words
from admin_app.blueprint import admin, go, page, too_late
from admin_app.guards import needs
from admin_app.portal_access import SAY_WHY
from clinic import (
    access_holds,
    coming_of_age,
    contacts,
    corrected_contacts,
    invitation_batches,
    invitation_list,
    patients,
    portal_users,
)
from clinic.contacts import Contact, ContactDetails, RelationshipKind, Stander
from clinic.staff import Right
from tenancy.database import transaction
from tenancy.errors import Conflict, NotFound, Refused
from tenancy.languages import Language
from ui.forms import EmailField, LanguageField, PorticoForm, at_most, chosen, required, tidy
from ui.looks import shows

KINDS = [SelectChoice("", _l("Choose …")), *(SelectChoice(each.value, word) for each, word in words.RELATIONSHIPS.items())]
A_KIND = required(_l("Choose how this person stands by the patient."))


class ContactForm(PorticoForm):
    name = StringField(_l("Name"), [required(_l("Enter a name.")), at_most(120)])
    kind = SelectField(_l("Relationship to the patient"), [A_KIND], choices=KINDS)
    email = EmailField(_l("E-mail"), [Optional()])
    phone = StringField(_l("Phone"), [at_most(40)], render_kw={"type": "tel", "autocomplete": "off"})
    language = LanguageField(_l("Language of letters and of the portal"))
    do_not_invite = BooleanField(_l("Do not invite to the portal"))

    def details(self) -> ContactDetails:
        return ContactDetails(
            name=self.name.data,
            email=self.email.data or "",
            phone=self.phone.data or "",
            do_not_invite=self.do_not_invite.data,
            language=Language(self.language.data),
        )


class ExistingContactForm(PorticoForm):
    contact_id = SelectField(
        _l("Contact"), [chosen(_l("Choose a contact."))], choices=[], coerce=UUID, validate_choice=False
    )
    kind = SelectField(_l("Relationship to the patient"), [A_KIND], choices=KINDS)


class GuardianForm(PorticoForm):
    is_guardian = HiddenField()
    reason = StringField(_l("Reason"), [SAY_WHY, at_most(portal_users.LONGEST_REASON)])


class InviteForm(PorticoForm):
    relationship_id = SelectMultipleField(_l("Contacts to invite"), coerce=UUID, validate_choice=False)


@admin.get("/patients/<uuid:patient_id>/contacts")
@needs(Right.RECORDS)
@shows("contacts.viewed")
def patient_contacts(patient_id: UUID) -> Response:
    with transaction():
        patient = patients.row_of(patient_id)
        standers = contacts.of_patient(patient_id)
        access = portal_users.access_to(patient_id)
        holds = access_holds.of_patient(patient_id)
        coming = coming_of_age.coming(patient_id)
        differing = corrected_contacts.of_patient(patient_id)
        invitable = []
        if guards.person().may(Right.ADMIN):
            invitable = invitation_list.page(patient_id=patient_id, limit=200)
    return page(
        "admin/contacts/of_patient.html",
        patient=patient,
        standers=standers,
        access=access,
        holds=holds,
        blocked={each.contact_id for each in holds if each.is_custody},
        coming=coming[0] if coming else None,
        differing=differing,
        invitable=invitable,
    )


@admin.route("/patients/<uuid:patient_id>/contacts/new", methods=["GET", "POST"])
@needs(Right.RECORDS)
@shows("contacts.viewed")
def new_contact(patient_id: UUID) -> AnyResponse:
    with transaction():
        patient = patients.row_of(patient_id)
    form = ContactForm()
    if form.validate_on_submit():
        try:
            with transaction():
                added = contacts.add(patient_id, form.details(), RelationshipKind(form.kind.data))
                is_shared = _shares_its_address(added)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The contact is added."), "success")
            _tell_of_sharing(is_shared)
            return go("patient_contacts", patient_id=patient_id)
    return page("admin/contacts/new.html", form=form, patient=patient)


@admin.route("/patients/<uuid:patient_id>/contacts/existing", methods=["GET", "POST"])
@needs(Right.RECORDS)
@shows("contacts.viewed")
def existing_contact(patient_id: UUID) -> AnyResponse:
    form, typed, place = ExistingContactForm(), request.args.get("q", ""), paging.place()
    if form.validate_on_submit():
        try:
            with transaction():
                contacts.stand_by(form.contact_id.data, patient_id, RelationshipKind(form.kind.data))
            flash(_("The contact stands by this patient too."), "success")
        except Conflict as conflict:
            too_late(conflict)
        return go("patient_contacts", patient_id=patient_id)
    with transaction():
        patient = patients.row_of(patient_id)
        already = {each.contact_id for each in contacts.of_patient(patient_id)}
        found = contacts.search(typed, after=place, limit=paging.ROWS + 1) if typed.strip() else []
    rows, following = paging.cut(found)
    return page(
        "admin/contacts/existing.html",
        form=form,
        patient=patient,
        rows=rows,
        already=already,
        typed=typed,
        place=place,
        following=following,
    )


@admin.route("/patients/<uuid:patient_id>/contacts/<uuid:contact_id>", methods=["GET", "POST"])
@needs(Right.RECORDS)
@shows("contact.viewed")
def contact_editing(patient_id: UUID, contact_id: UUID) -> AnyResponse:
    with transaction():
        stander, contact = _stander(patient_id, contact_id), contacts.get(contact_id)
    form, before = ContactForm(obj=contact, kind=stander.kind), contact.email_norm
    if form.validate_on_submit():
        try:
            with transaction():
                changed = contacts.change(contact_id, form.details())
                contacts.correct_kind(contact_id, patient_id, RelationshipKind(form.kind.data))
                is_shared = _shares_its_address(changed)
                left_behind = corrected_contacts.find(contact_id, before)
        except Refused as refusal:
            form.refuse(refusal)
        else:
            flash(_("The contact is saved."), "success")
            _tell_of_sharing(is_shared)
            if left_behind:
                return go(
                    "contact_sign_in", patient_id=patient_id, contact_id=contact_id, portal_user_id=left_behind
                )
            return go("patient_contacts", patient_id=patient_id)
    return _editing_page(patient_id, contact_id, form, GuardianForm(formdata=None))


@admin.post("/patients/<uuid:patient_id>/contacts/<uuid:contact_id>/guardianship")
@needs(Right.RECORDS)
def guardianship(patient_id: UUID, contact_id: UUID) -> AnyResponse:
    """Mark as guardian for an adult, or take the mark back, whichever the page offered."""
    with transaction():
        stander, contact = _stander(patient_id, contact_id), contacts.get(contact_id)
    form = GuardianForm()
    if form.validate_on_submit():
        with transaction():
            portal_users.mark_guardian(contact_id, patient_id, form.is_guardian.data == "y", form.reason.data)
        flash(_("The mark is saved. It works from the next page that this person opens."), "success")
        return go("contact_editing", patient_id=patient_id, contact_id=contact_id)
    return _editing_page(patient_id, contact_id, ContactForm(formdata=None, obj=contact, kind=stander.kind), form)


def _stander(patient_id: UUID, contact_id: UUID) -> Stander:
    """Raises NotFound, also for somebody who does not stand by this patient."""
    patients.row_of(patient_id)
    stander = contacts.find_stander(contact_id, patient_id)
    if stander is None:
        raise NotFound("contact of this patient")
    return stander


def _editing_page(patient_id: UUID, contact_id: UUID, form: ContactForm, guardian_form: GuardianForm) -> AnyResponse:
    with transaction():
        patient, stander = patients.row_of(patient_id), _stander(patient_id, contact_id)
        others = [each for each in contacts.patients_of(contact_id) if each[0] != patient_id]
    answer = page(
        "admin/contacts/edit.html",
        form=form,
        guardian_form=guardian_form,
        patient=patient,
        stander=stander,
        others=others,
    )
    if guardian_form.errors:
        answer.status_code = 422
    return answer


@admin.post("/patients/<uuid:patient_id>/relationships/<uuid:relationship_id>/removal")
@needs(Right.RECORDS)
def relationship_removal(patient_id: UUID, relationship_id: UUID) -> AnyResponse:
    with transaction():
        if contacts.part(relationship_id) != patient_id:
            raise NotFound("relationship of this patient")
    flash(_("Removed. Portal access, if there was any, stays until you unlink it below."), "success")
    return go("patient_contacts", patient_id=patient_id)


@admin.post("/patients/<uuid:patient_id>/portal-access/<uuid:access_id>/unlinking")
@needs(Right.RECORDS)
def patient_unlinking(patient_id: UUID, access_id: UUID) -> AnyResponse:
    try:
        with transaction():
            if portal_users.unlink(access_id, tidy(request.form.get("reason", ""))).patient_id != patient_id:
                raise NotFound("access to this patient")
        flash(_("Unlinked. This portal user no longer sees the patient."), "success")
    except Conflict as conflict:
        too_late(conflict)
    return go("patient_contacts", patient_id=patient_id)


@admin.post("/patients/<uuid:patient_id>/invitations")
@needs(Right.ADMIN)
def patient_invitations(patient_id: UUID) -> AnyResponse:
    form = InviteForm()
    try:
        with transaction():
            patients.row_of(patient_id)
            batch = invitation_batches.choose(form.relationship_id.data if form.validate() else [])
    except Refused as refusal:
        flash(str(refusal.message), "error")
        return go("patient_contacts", patient_id=patient_id)
    return go("invitation_confirmation", batch_id=batch.id)


def _shares_its_address(contact: Contact) -> bool:
    return bool(contact.email) and len(contacts.find_same_address(contact.email or "")) > 1


def _tell_of_sharing(is_shared: bool) -> None:
    if is_shared:
        flash(
            _("Another contact has this e-mail address already. If both are invited, they share one sign-in."), "warn"
        )
