"""The staff's face: pages at admin.<base>/<slug>/… Importing it brings every page onto the blueprint."""

from admin_app import (  # noqa: F401  each module adds its pages to the blueprint
    appearance,
    appointment_requests,
    appointments,
    clinic_options,
    contacts,
    conversations,
    document_types,
    documents,
    home,
    invitations,
    mailed_links,
    patients,
    portal_settings,
    portal_users,
    profile,
    sessions,
    sign_in,
    staff,
)
