-- Who may see what. Applied after every upgrade, in its transaction; it can be applied again at any time.
--
-- The application logs in as `portico`, which may read the directory of clinics and nothing else. At the start of each
-- transaction it takes one of the roles below, and says in which clinic (app.clinic_id) and, once somebody's session is
-- known, for whom (app.portal_user_id, app.staff_member_id), or by which mailed link (app.link_hash), it asks. Outside a
-- clinic every table but the directory is permission denied.
--
--   portico_door      nobody has signed in yet: sessions, passwords, mailed links, the people they belong to; no records
--   portico_payer     whoever follows a mailed invoice: what that one comes to, and paying it
--   portico_staff     a staff member: every row of the open clinic
--   portico_portal    a portal user: rows about patients they hold live access to, and that the clinic shows
--   portico_mailer    the worker's letters: this clinic's outbox, letterhead and key
--   portico_operator  the command line: the clinic, its people who sign in, no records
--   portico_auditor   proves the audit log's chain: its entries, which hold ids, and nothing else
--   portico_queue     the worker's own bookkeeping: the queue's schema and nothing else
--   portico_throttle  what is counted over all clinics together, tries of a network and refused webhooks, and nothing else
--
-- `portico_chain` owns the function that chains audit entries; nobody can become it.

-- 1 Roles ------------------------------------------------------------------------------------------------------------

DO $roles$
DECLARE
    wanted text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'portico') THEN
        CREATE ROLE portico LOGIN NOINHERIT;
    END IF;
    FOREACH wanted IN ARRAY ARRAY['portico_door', 'portico_payer', 'portico_staff', 'portico_portal', 'portico_mailer',
                                  'portico_operator', 'portico_auditor', 'portico_queue', 'portico_chain',
                                  'portico_throttle'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- roles are the cluster's: another database was prepared at the same moment
        END;
        CONTINUE WHEN wanted = 'portico_chain';
        IF NOT EXISTS (
            SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
            WHERE r.rolname = wanted AND u.rolname = 'portico'
        ) THEN
            EXECUTE format('GRANT %I TO portico', wanted);
        END IF;
    END LOOP;
END
$roles$;

-- 2 Begin from nothing -----------------------------------------------------------------------------------------------

DO $nothing$
DECLARE
    thing record;
BEGIN
    FOR thing IN SELECT policyname, tablename FROM pg_policies WHERE schemaname = 'public' LOOP
        EXECUTE format('DROP POLICY %I ON public.%I', thing.policyname, thing.tablename);
    END LOOP;
    FOR thing IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') LOOP
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, portico, portico_door, portico_payer, portico_staff, portico_portal, '
                       'portico_mailer, portico_operator, portico_auditor, portico_queue, portico_chain, portico_throttle',
                       thing.relname);
        IF thing.relname <> 'alembic_version' THEN
            EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', thing.relname);
            EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', thing.relname);
        END IF;
    END LOOP;
END
$nothing$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
-- Foreign-key checks run as the tables' owner, who is not always the database's.
GRANT USAGE ON SCHEMA public TO CURRENT_USER;
GRANT USAGE ON SCHEMA public TO portico, portico_door, portico_payer, portico_staff, portico_portal, portico_mailer,
    portico_operator, portico_auditor, portico_chain, portico_throttle;

-- 3 Who is asking ----------------------------------------------------------------------------------------------------
-- STABLE, never IMMUTABLE: an immutable reader of a setting leaks across clinics through cached plans.
-- After a transaction a setting is '' and not NULL; nullif makes both "nobody", which matches no row.

CREATE SCHEMA IF NOT EXISTS app;
REVOKE ALL ON SCHEMA app FROM PUBLIC;
GRANT USAGE ON SCHEMA app TO portico, portico_door, portico_payer, portico_staff, portico_portal, portico_mailer,
    portico_operator, portico_auditor, portico_chain;

CREATE OR REPLACE FUNCTION app.clinic_id() RETURNS uuid STABLE PARALLEL SAFE LANGUAGE sql
    AS $$ SELECT nullif(current_setting('app.clinic_id', true), '')::uuid $$;

CREATE OR REPLACE FUNCTION app.portal_user_id() RETURNS uuid STABLE PARALLEL SAFE LANGUAGE sql
    AS $$ SELECT nullif(current_setting('app.portal_user_id', true), '')::uuid $$;

CREATE OR REPLACE FUNCTION app.staff_member_id() RETURNS uuid STABLE PARALLEL SAFE LANGUAGE sql
    AS $$ SELECT nullif(current_setting('app.staff_member_id', true), '')::uuid $$;

-- SHA-256 of the secret of the mailed link that is followed.
CREATE OR REPLACE FUNCTION app.link_hash() RETURNS bytea STABLE PARALLEL SAFE LANGUAGE sql
    AS $$ SELECT decode(nullif(current_setting('app.link_hash', true), ''), 'hex') $$;

-- Whether a row that a staff member or a portal user holds is held by the person whose session it is.
CREATE OR REPLACE FUNCTION app.is_mine(staff_member_id uuid, portal_user_id uuid) RETURNS boolean STABLE PARALLEL SAFE LANGUAGE sql
    AS $$ SELECT coalesce(staff_member_id = app.staff_member_id(), portal_user_id = app.portal_user_id(), false) $$;

-- The application's clock, so that both judge by one; the server's for whoever comes without.
CREATE OR REPLACE FUNCTION app.now() RETURNS timestamptz STABLE PARALLEL SAFE LANGUAGE sql
    AS $$ SELECT coalesce(nullif(current_setting('app.now', true), '')::timestamptz, now()) $$;

-- Whoever was born on this day or before is of age today, in the clinic's time zone and by its own rule. Born on
-- February 29, one is of age on March 1 of a common year.
CREATE OR REPLACE FUNCTION app.of_age_born_until() RETURNS date STABLE LANGUAGE sql AS $$
    SELECT ((app.now() AT TIME ZONE c.time_zone)::date - make_interval(years => s.of_age_years::integer))::date
    FROM public.clinics c JOIN public.portal_settings s ON s.clinic_id = c.id
    WHERE c.id = app.clinic_id()
$$;

-- What access the signed-in portal user holds now: neither ended, over, to come, nor suspended by a custody block or a
-- hold. These read no patients, whose own policy asks them.
CREATE OR REPLACE FUNCTION app.live_access()
    RETURNS TABLE (patient_id uuid, records boolean, billing boolean, at_any_age boolean) STABLE LANGUAGE sql AS $$
    SELECT a.patient_id, a.records, a.billing, a.relationship = 'self' OR a.guardian_for_adult
    FROM public.portal_access a
    JOIN public.portal_users u ON u.clinic_id = a.clinic_id AND u.id = a.portal_user_id
    WHERE a.clinic_id = app.clinic_id() AND a.portal_user_id = app.portal_user_id() AND u.deactivated_at IS NULL
      AND a.ended_at IS NULL AND a.starts_at <= app.now() AND (a.ends_at IS NULL OR a.ends_at > app.now())
      AND NOT EXISTS (
          SELECT FROM public.access_holds h
          WHERE h.clinic_id = a.clinic_id AND h.patient_id = a.patient_id
            AND h.lifted_at IS NULL AND (h.until_at IS NULL OR h.until_at > app.now())
            AND (h.portal_user_id = a.portal_user_id OR h.contact_id = a.contact_id OR h.email_norm = u.email_norm))
$$;

CREATE OR REPLACE FUNCTION app.patients_with_billing() RETURNS SETOF uuid STABLE LANGUAGE sql AS $$
    SELECT patient_id FROM app.live_access() WHERE billing
$$;

-- Records: one's own and, as a guardian for an adult, another's, at any age …
CREATE OR REPLACE FUNCTION app.patients_at_any_age() RETURNS SETOF uuid STABLE LANGUAGE sql AS $$
    SELECT patient_id FROM app.live_access() WHERE records AND at_any_age
$$;

-- … and otherwise until the patient comes of age.
CREATE OR REPLACE FUNCTION app.patients_until_of_age() RETURNS SETOF uuid STABLE LANGUAGE sql AS $$
    SELECT patient_id FROM app.live_access() WHERE records AND NOT at_any_age
$$;

CREATE OR REPLACE FUNCTION app.patients_with_records() RETURNS SETOF uuid STABLE LANGUAGE sql AS $$
    SELECT app.patients_at_any_age()
    UNION ALL
    SELECT id FROM public.patients
    WHERE clinic_id = app.clinic_id() AND id = ANY (ARRAY(SELECT app.patients_until_of_age()))
      AND birth_on > (SELECT app.of_age_born_until())
$$;

CREATE OR REPLACE FUNCTION app.takes_payments() RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM public.clinics WHERE id = app.clinic_id() AND payment_processing_since_at IS NOT NULL)
$$;

CREATE OR REPLACE FUNCTION app.shows_balance() RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT app.takes_payments() AND EXISTS (
        SELECT FROM public.portal_settings WHERE clinic_id = app.clinic_id() AND shows_balance)
$$;

CREATE OR REPLACE FUNCTION app.shows_invoices() RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT app.takes_payments() AND EXISTS (
        SELECT FROM public.portal_settings WHERE clinic_id = app.clinic_id() AND shows_invoices)
$$;

CREATE OR REPLACE FUNCTION app.pays_by_link() RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT app.takes_payments() AND EXISTS (
        SELECT FROM public.billing_settings WHERE clinic_id = app.clinic_id() AND pays_by_link)
$$;

CREATE OR REPLACE FUNCTION app.allows_messages() RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM public.portal_settings WHERE clinic_id = app.clinic_id() AND allows_messages)
$$;

CREATE OR REPLACE FUNCTION app.allows_appointment_requests() RETURNS boolean STABLE LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM public.portal_settings WHERE clinic_id = app.clinic_id() AND allows_appointment_requests)
$$;

-- 4 The directory: readable before a clinic is open, changed only from inside ----------------------------------------

GRANT SELECT ON clinics, clinic_addresses, clinic_payment_accounts TO portico;
CREATE POLICY directory ON clinics FOR SELECT TO portico USING (true);
CREATE POLICY directory ON clinic_payment_accounts FOR SELECT TO portico USING (true);
CREATE POLICY directory ON clinic_addresses FOR SELECT TO portico USING (true);

GRANT SELECT ON clinics, clinic_addresses
    TO portico_door, portico_payer, portico_staff, portico_portal, portico_mailer, portico_operator;
CREATE POLICY own ON clinics TO portico_door, portico_payer, portico_staff, portico_portal, portico_mailer, portico_operator
    USING (id = app.clinic_id()) WITH CHECK (id = app.clinic_id());
CREATE POLICY own ON clinic_payment_accounts TO portico_staff
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY own ON clinic_addresses TO portico_door, portico_payer, portico_staff, portico_portal, portico_mailer, portico_operator
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());

-- An Admin signs up for payment processing; Stripe says whether it is on.
GRANT UPDATE (name, accent, logo_version, payment_processing_since_at) ON clinics TO portico_staff;
GRANT SELECT, INSERT ON clinic_payment_accounts TO portico_staff;
GRANT INSERT, UPDATE (plan, status, payment_processing_since_at) ON clinics TO portico_operator;
GRANT INSERT, UPDATE (retired_at) ON clinic_addresses TO portico_staff, portico_operator;

-- 5 Staff: every row of the open clinic ------------------------------------------------------------------------------

DO $staff$
DECLARE
    owned text;
BEGIN
    FOR owned IN
        SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'clinic_id'
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname NOT IN ('clinic_addresses', 'clinic_payment_accounts')
    LOOP
        EXECUTE format('CREATE POLICY clinic ON public.%I TO portico_staff '
                       'USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id())', owned);
    END LOOP;
END
$staff$;

GRANT SELECT, INSERT, UPDATE ON
    patients, contacts, documents, appointments, document_types, portal_settings, portal_users, portal_access,
    staff_members, letters, letterheads, invitation_batches, invitation_batch_rows, invoices,
    conversations, access_holds, billing_settings, payment_accounts, payments, payment_invoices, refunds, disputes,
    stripe_customers, saved_cards, autopays, autopay_notices, payment_problems, stripe_events
    TO portico_staff;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    relationships, search_words, document_contents, clinic_logos TO portico_staff;
GRANT SELECT, INSERT ON account_lines, allocations, invoice_mailings, messages, message_attachments TO portico_staff;
-- What stands on an invoice may leave it while it is a draft.
GRANT SELECT, INSERT, DELETE ON invoice_lines TO portico_staff;
CREATE POLICY draft ON invoice_lines AS RESTRICTIVE FOR DELETE TO portico_staff
    USING (clinic_id = app.clinic_id()
           AND EXISTS (SELECT FROM invoices i WHERE i.clinic_id = invoice_lines.clinic_id AND i.id = invoice_lines.invoice_id
                       AND i.number IS NULL));
GRANT DELETE ON invoices TO portico_staff;
CREATE POLICY draft ON invoices AS RESTRICTIVE FOR DELETE TO portico_staff
    USING (clinic_id = app.clinic_id() AND number IS NULL);
-- What the virus scanner said of a file that waited for it.
GRANT UPDATE (scan) ON message_attachments TO portico_staff;
-- A family asks; staff can only answer.
GRANT SELECT, UPDATE (state, ended_at, answer, answered_by_id) ON appointment_requests TO portico_staff;
GRANT SELECT ON clinic_keys TO portico_staff;
-- Staff know that a colleague or a portal user has a second factor. Setting one up, using and replacing one happens at
-- the door, for oneself: no staff page reads a secret or a recovery code, not even one's own.
GRANT SELECT ON authenticators TO portico_staff;
GRANT SELECT (clinic_id, id, staff_member_id, portal_user_id) ON passkeys TO portico_staff;
-- Staff issue and end links and end sessions; they read no token, no hash of one, and no password.
GRANT SELECT (clinic_id, id, staff_member_id, portal_user_id, purpose, email_norm, issued_at, expires_at, misses, ended_at,
              ending, letter_id),
    INSERT, UPDATE (misses, ended_at, ending, letter_id) ON mailed_links TO portico_staff;
GRANT SELECT (clinic_id, id, staff_member_id, portal_user_id, started_at, last_seen_at, ended_at, ended_reason, stage, browser,
              network_address),
    UPDATE (ended_at, ended_reason) ON sessions TO portico_staff;

-- 6 The door: signing in, accepting, resetting; no records -----------------------------------------------------------

CREATE POLICY door ON portal_users TO portico_door
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY door ON staff_members TO portico_door
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY door ON passwords TO portico_door
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY door ON sessions TO portico_door
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY door ON mailed_links TO portico_door
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
-- A link goes to the address it was issued for, anything else to somebody who signs in here.
CREATE POLICY door ON letters FOR INSERT TO portico_door
    WITH CHECK (clinic_id = app.clinic_id() AND CASE WHEN ids ? 'link_id'
        THEN EXISTS (SELECT FROM mailed_links WHERE mailed_links.clinic_id = letters.clinic_id
                     AND mailed_links.id = (ids ->> 'link_id')::uuid AND mailed_links.email_norm = lower(to_address))
        ELSE EXISTS (SELECT FROM staff_members s WHERE s.clinic_id = letters.clinic_id AND s.email = to_address)
          OR EXISTS (SELECT FROM portal_users u WHERE u.clinic_id = letters.clinic_id AND u.email = to_address) END);
CREATE POLICY door ON letterheads TO portico_door
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY door ON portal_settings FOR SELECT TO portico_door USING (clinic_id = app.clinic_id());
CREATE POLICY door ON clinic_logos FOR SELECT TO portico_door USING (clinic_id = app.clinic_id());
CREATE POLICY door ON clinic_keys FOR SELECT TO portico_door USING (clinic_id = app.clinic_id());
CREATE POLICY door ON portal_access FOR SELECT TO portico_door USING (clinic_id = app.clinic_id());
CREATE POLICY door ON access_holds FOR SELECT TO portico_door USING (clinic_id = app.clinic_id());
CREATE POLICY door ON patients FOR SELECT TO portico_door USING (clinic_id = app.clinic_id());

-- Second factors. Whether there is one is asked with the password; its secret and the recovery codes are there only once
-- a session says whose they are, and no others than that person's.
CREATE POLICY door ON authenticators FOR SELECT TO portico_door USING (clinic_id = app.clinic_id());
CREATE POLICY add ON authenticators FOR INSERT TO portico_door
    WITH CHECK (clinic_id = app.clinic_id() AND app.is_mine(staff_member_id, portal_user_id));
CREATE POLICY remove ON authenticators FOR DELETE TO portico_door
    USING (clinic_id = app.clinic_id() AND app.is_mine(staff_member_id, portal_user_id));
CREATE POLICY mine ON authenticator_secrets TO portico_door
    USING (clinic_id = app.clinic_id() AND app.is_mine(staff_member_id, portal_user_id))
    WITH CHECK (clinic_id = app.clinic_id() AND app.is_mine(staff_member_id, portal_user_id));
CREATE POLICY mine ON recovery_codes TO portico_door
    USING (clinic_id = app.clinic_id() AND app.is_mine(staff_member_id, portal_user_id))
    WITH CHECK (clinic_id = app.clinic_id() AND app.is_mine(staff_member_id, portal_user_id));
-- A passkey is found before it is known whose it is; using it moves its counter.
CREATE POLICY door ON passkeys FOR SELECT TO portico_door USING (clinic_id = app.clinic_id());
CREATE POLICY use ON passkeys FOR UPDATE TO portico_door
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY add ON passkeys FOR INSERT TO portico_door
    WITH CHECK (clinic_id = app.clinic_id() AND app.is_mine(staff_member_id, portal_user_id));
CREATE POLICY remove ON passkeys FOR DELETE TO portico_door
    USING (clinic_id = app.clinic_id() AND app.is_mine(staff_member_id, portal_user_id));
GRANT SELECT, INSERT, DELETE ON authenticators TO portico_door;
GRANT SELECT, INSERT, DELETE, UPDATE (name, sign_count, last_used_at, challenged_at) ON passkeys TO portico_door;
GRANT SELECT, INSERT, UPDATE (last_step) ON authenticator_secrets TO portico_door;
GRANT SELECT, INSERT, DELETE, UPDATE (used_at) ON recovery_codes TO portico_door;

GRANT SELECT, UPDATE (email, email_norm, accepted_at, last_sign_in_at, language) ON portal_users TO portico_door;
GRANT SELECT, UPDATE (name, email, email_norm, accepted_at, last_sign_in_at) ON staff_members TO portico_door;
GRANT SELECT, INSERT, DELETE ON passwords TO portico_door;
GRANT SELECT, INSERT, UPDATE (last_seen_at, ended_at, ended_reason) ON sessions TO portico_door;
GRANT SELECT, INSERT, UPDATE (misses, ended_at, ending, letter_id) ON mailed_links TO portico_door;
GRANT INSERT ON letters TO portico_door;
GRANT SELECT, UPDATE (confirmed_at) ON letterheads TO portico_door;
GRANT SELECT ON portal_settings, clinic_logos, clinic_keys TO portico_door;
GRANT SELECT (clinic_id, portal_user_id, patient_id, contact_id, starts_at, ends_at, ended_at) ON portal_access TO portico_door;
-- That somebody is kept from a patient, never why.
GRANT SELECT (clinic_id, id, patient_id, portal_user_id, contact_id, email_norm, until_at, lifted_at) ON access_holds
    TO portico_door, portico_portal;
-- The birth date that an invitation asks for, and nothing else of a patient.
GRANT SELECT (clinic_id, id, birth_on, status) ON patients TO portico_door;

-- What is tried at a door, and by somebody signed in who is asked for a secret again: counts under hashes, and nothing
-- of whom they are about.
CREATE POLICY door ON throttle_buckets TO portico_door
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY portal ON throttle_buckets TO portico_portal
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
GRANT SELECT, INSERT, UPDATE (drained_at, free_at) ON throttle_buckets TO portico_door, portico_staff, portico_portal;
GRANT DELETE ON throttle_buckets TO portico_door;

-- What Stripe sends is kept before anybody looks at it.
CREATE POLICY door ON stripe_events FOR INSERT TO portico_door WITH CHECK (clinic_id = app.clinic_id() AND applied_at IS NULL);
GRANT INSERT ON stripe_events TO portico_door;

-- 6b The payer: whoever follows a mailed invoice ----------------------------------------------------------------------
-- They read what that invoice comes to, and nothing else: no name, no service, no other payer. Every way to a row here begins
-- at the one link whose secret they hold; who does not know the secret finds nothing, whatever ids they know.

CREATE POLICY followed ON mailed_links FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND purpose = 'invoice' AND token_hash = app.link_hash());
CREATE POLICY followed ON invoice_mailings FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND link_id = ANY (ARRAY(SELECT id FROM mailed_links)));
-- Whether its receiver still has that address, stands by the patient, and is not kept from them: ids, and the address.
CREATE POLICY receiver ON contacts FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND id = ANY (ARRAY(SELECT contact_id FROM invoice_mailings)));
CREATE POLICY receiver ON relationships FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND contact_id = ANY (ARRAY(SELECT id FROM contacts)));
CREATE POLICY receiver ON portal_users FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND email_norm = ANY (ARRAY(SELECT email_norm FROM mailed_links)));
CREATE POLICY receiver ON portal_access FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND contact_id = ANY (ARRAY(SELECT id FROM contacts)));
CREATE POLICY receiver ON access_holds FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id()
           AND (contact_id = ANY (ARRAY(SELECT id FROM contacts))
                OR email_norm = ANY (ARRAY(SELECT email_norm FROM mailed_links))
                OR portal_user_id = ANY (ARRAY(SELECT id FROM portal_users UNION SELECT portal_user_id FROM portal_access))));
-- A link that is over leads nowhere, nor one whose receiver would not be mailed it any more.
CREATE POLICY mailed ON invoices FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND number IS NOT NULL
           AND EXISTS (SELECT FROM invoice_mailings m
                       JOIN mailed_links l ON l.clinic_id = m.clinic_id AND l.id = m.link_id
                       JOIN contacts c ON c.clinic_id = m.clinic_id AND c.id = m.contact_id AND c.email_norm = l.email_norm
                       JOIN relationships r ON r.clinic_id = m.clinic_id AND r.contact_id = c.id
                       WHERE m.clinic_id = invoices.clinic_id AND m.invoice_id = invoices.id
                         AND r.patient_id = invoices.patient_id AND l.ended_at IS NULL AND l.expires_at > app.now())
           AND NOT EXISTS (SELECT FROM access_holds h WHERE h.clinic_id = invoices.clinic_id AND h.patient_id = invoices.patient_id
                           AND h.lifted_at IS NULL AND (h.until_at IS NULL OR h.until_at > app.now())));
CREATE POLICY mailed ON invoice_lines FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND invoice_id = ANY (ARRAY(SELECT id FROM invoices)));
CREATE POLICY mailed ON account_lines FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND id = ANY (ARRAY(SELECT line_id FROM invoice_lines)));
CREATE POLICY mailed ON allocations FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND invoice_id = ANY (ARRAY(SELECT id FROM invoices)));
CREATE POLICY followed ON billing_settings FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND EXISTS (SELECT FROM mailed_links));
CREATE POLICY followed ON payment_accounts FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND ended_at IS NULL AND EXISTS (SELECT FROM mailed_links));
-- Payments of this mailing: begun while the clinic lets mailed links pay, and moved on; of others they see, by the unique
-- rule, that the invoice is taken. What became of a payment is told after the link is over, too.
CREATE POLICY followed ON payments FOR SELECT TO portico_payer
    USING (clinic_id = app.clinic_id() AND mailing_id = ANY (ARRAY(SELECT id FROM invoice_mailings)));
CREATE POLICY begin ON payments FOR INSERT TO portico_payer
    WITH CHECK (clinic_id = app.clinic_id() AND way = 'link' AND status = 'starting' AND line_id IS NULL AND NOT saves_card
                AND (SELECT app.pays_by_link())
                AND EXISTS (SELECT FROM invoice_mailings m
                            JOIN invoices i ON i.clinic_id = m.clinic_id AND i.id = m.invoice_id
                            WHERE m.clinic_id = payments.clinic_id AND m.id = payments.mailing_id
                              AND i.patient_id = payments.patient_id));
CREATE POLICY move ON payments FOR UPDATE TO portico_payer
    USING (clinic_id = app.clinic_id() AND mailing_id = ANY (ARRAY(SELECT id FROM invoice_mailings)))
    WITH CHECK (clinic_id = app.clinic_id() AND mailing_id = ANY (ARRAY(SELECT id FROM invoice_mailings)) AND line_id IS NULL);
CREATE POLICY followed ON payment_invoices TO portico_payer
    USING (clinic_id = app.clinic_id() AND payment_id = ANY (ARRAY(SELECT id FROM payments)))
    WITH CHECK (clinic_id = app.clinic_id() AND payment_id = ANY (ARRAY(SELECT id FROM payments WHERE line_id IS NULL))
                AND invoice_id = ANY (ARRAY(SELECT invoice_id FROM invoice_mailings)));
GRANT SELECT ON mailed_links TO portico_payer;
GRANT SELECT (clinic_id, id, invoice_id, link_id, contact_id) ON invoice_mailings TO portico_payer;
GRANT SELECT (clinic_id, id, email_norm) ON contacts, portal_users TO portico_payer;
GRANT SELECT (clinic_id, contact_id, patient_id) ON relationships TO portico_payer;
GRANT SELECT (clinic_id, portal_user_id, patient_id, contact_id) ON portal_access TO portico_payer;
GRANT SELECT (clinic_id, id, patient_id, portal_user_id, contact_id, email_norm, until_at, lifted_at) ON access_holds TO portico_payer;
GRANT SELECT (clinic_id, id, patient_id, number, issued_on, due_on, currency, voided_at) ON invoices TO portico_payer;
GRANT SELECT (clinic_id, invoice_id, line_id) ON invoice_lines TO portico_payer;
GRANT SELECT (clinic_id, id, amount_minor) ON account_lines TO portico_payer;
GRANT SELECT (clinic_id, invoice_id, amount_minor) ON allocations TO portico_payer;
GRANT SELECT (clinic_id, pays_by_link) ON billing_settings TO portico_payer;
GRANT SELECT (clinic_id, account_id, charges_enabled, ended_at) ON payment_accounts TO portico_payer;
GRANT SELECT, INSERT, UPDATE (status, checkout_session_id, checkout_url, ended_at, fault) ON payments TO portico_payer;
GRANT SELECT, INSERT, UPDATE (released_at) ON payment_invoices TO portico_payer;

-- 7 Portal users: what is theirs to see, and what the clinic shows ---------------------------------------------------

CREATE POLICY mine ON portal_access FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id());
-- What keeps this portal user from a patient; nobody else's.
CREATE POLICY mine ON access_holds FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id()
           AND (portal_user_id = app.portal_user_id()
                OR email_norm = (SELECT u.email_norm FROM portal_users u WHERE u.id = app.portal_user_id())
                OR contact_id = ANY (ARRAY(SELECT a.contact_id FROM portal_access a WHERE a.contact_id IS NOT NULL))));
CREATE POLICY mine ON portal_users TO portico_portal
    USING (clinic_id = app.clinic_id() AND id = app.portal_user_id())
    WITH CHECK (clinic_id = app.clinic_id() AND id = app.portal_user_id());
CREATE POLICY mine ON passwords TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id())
    WITH CHECK (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id());
CREATE POLICY mine ON authenticators FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id());
CREATE POLICY mine ON passkeys FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id());
CREATE POLICY mine ON sessions TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id())
    WITH CHECK (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id());
CREATE POLICY mine ON mailed_links TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id())
    WITH CHECK (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id());

CREATE POLICY family ON patients FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id()
           AND (id = ANY (ARRAY(SELECT app.patients_with_billing())) OR id = ANY (ARRAY(SELECT app.patients_at_any_age()))
                OR (id = ANY (ARRAY(SELECT app.patients_until_of_age())) AND birth_on > (SELECT app.of_age_born_until()))));
CREATE POLICY shown ON document_types FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND is_visible_on_portal);
CREATE POLICY family ON documents FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id()
           AND patient_id = ANY (ARRAY(SELECT app.patients_with_records()))
           AND status = 'signed' AND held_back_at IS NULL AND scan IN ('none', 'clean')
           AND document_type_id = ANY (ARRAY(SELECT id FROM document_types)));
CREATE POLICY family ON document_contents FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id()
           AND EXISTS (SELECT FROM documents WHERE documents.clinic_id = document_contents.clinic_id
                       AND documents.id = document_contents.document_id));
CREATE POLICY family ON appointments FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND patient_id = ANY (ARRAY(SELECT app.patients_with_records())));
CREATE POLICY family ON account_lines FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id()
           AND patient_id = ANY (ARRAY(SELECT app.patients_with_billing()))
           AND ((SELECT app.shows_balance()) OR id = ANY (ARRAY(SELECT line_id FROM invoice_lines))
                OR id = ANY (ARRAY(SELECT payment_line_id FROM allocations))));
CREATE POLICY family ON invoices FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id()
           AND patient_id = ANY (ARRAY(SELECT app.patients_with_billing()))
           AND number IS NOT NULL AND (SELECT app.shows_invoices()));
CREATE POLICY family ON invoice_lines FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND invoice_id = ANY (ARRAY(SELECT id FROM invoices)));
CREATE POLICY family ON allocations FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND invoice_id = ANY (ARRAY(SELECT id FROM invoices)));

-- Paying. A portal user begins payments of their own, for patients whose billing they see, and moves them on; what the
-- account says of them is entered by the clinic's own jobs. Of a payment of somebody else's they see that an invoice is
-- taken (by the unique rule), and nothing more.
CREATE POLICY mine ON payments TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id())
    WITH CHECK (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id() AND line_id IS NULL
                AND patient_id = ANY (ARRAY(SELECT app.patients_with_billing())) AND (SELECT app.takes_payments()));
CREATE POLICY mine ON payment_invoices TO portico_portal
    USING (clinic_id = app.clinic_id()
           AND EXISTS (SELECT FROM payments p WHERE p.clinic_id = payment_invoices.clinic_id AND p.id = payment_invoices.payment_id))
    WITH CHECK (clinic_id = app.clinic_id()
                AND EXISTS (SELECT FROM payments p WHERE p.clinic_id = payment_invoices.clinic_id
                            AND p.id = payment_invoices.payment_id AND p.line_id IS NULL)
                AND invoice_id = ANY (ARRAY(SELECT id FROM invoices)));
-- And what was given back of it, without what staff wrote about it.
CREATE POLICY mine ON refunds FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id()
           AND EXISTS (SELECT FROM payments p WHERE p.clinic_id = refunds.clinic_id AND p.id = refunds.payment_id));
CREATE POLICY mine ON saved_cards TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id())
    WITH CHECK (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id());
CREATE POLICY mine ON stripe_customers FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id());
CREATE POLICY mine ON autopays TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id())
    WITH CHECK (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id()
                AND patient_id = ANY (ARRAY(SELECT app.patients_with_billing()))
                AND card_id = ANY (ARRAY(SELECT id FROM saved_cards)));
CREATE POLICY mine ON autopay_notices FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND autopay_id = ANY (ARRAY(SELECT id FROM autopays)));
CREATE POLICY portal ON billing_settings FOR SELECT TO portico_portal USING (clinic_id = app.clinic_id());
CREATE POLICY portal ON payment_accounts FOR SELECT TO portico_portal USING (clinic_id = app.clinic_id() AND ended_at IS NULL);

-- What one portal user and the clinic write each other: theirs alone, while they may see the patient's records and the
-- clinic allows messages. They begin, write on where it is open, and note what they have read; nothing else.
CREATE POLICY mine ON conversations FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id()
           AND patient_id = ANY (ARRAY(SELECT app.patients_with_records())) AND (SELECT app.allows_messages()));
CREATE POLICY begin ON conversations FOR INSERT TO portico_portal
    WITH CHECK (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id()
                AND patient_id = ANY (ARRAY(SELECT app.patients_with_records())) AND (SELECT app.allows_messages())
                AND clinic_read_at IS NULL AND closed_at IS NULL);
CREATE POLICY read ON conversations FOR UPDATE TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id()
           AND patient_id = ANY (ARRAY(SELECT app.patients_with_records())) AND (SELECT app.allows_messages()))
    WITH CHECK (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id()
                AND patient_id = ANY (ARRAY(SELECT app.patients_with_records())) AND (SELECT app.allows_messages()));
CREATE POLICY mine ON messages FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id()
           AND EXISTS (SELECT FROM conversations c
                       WHERE c.clinic_id = messages.clinic_id AND c.id = messages.conversation_id));
CREATE POLICY write ON messages FOR INSERT TO portico_portal
    WITH CHECK (clinic_id = app.clinic_id() AND staff_member_id IS NULL
                AND EXISTS (SELECT FROM conversations c
                            WHERE c.clinic_id = messages.clinic_id AND c.id = messages.conversation_id
                              AND c.closed_at IS NULL));
CREATE POLICY mine ON message_attachments FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id()
           AND EXISTS (SELECT FROM messages m
                       WHERE m.clinic_id = message_attachments.clinic_id AND m.id = message_attachments.message_id));
CREATE POLICY write ON message_attachments FOR INSERT TO portico_portal
    WITH CHECK (clinic_id = app.clinic_id()
                AND EXISTS (SELECT FROM messages m
                            JOIN conversations c ON c.clinic_id = m.clinic_id AND c.id = m.conversation_id
                            WHERE m.clinic_id = message_attachments.clinic_id AND m.id = message_attachments.message_id
                              AND m.staff_member_id IS NULL AND c.closed_at IS NULL));

-- What one portal user asked the clinic for: theirs alone; an open one they may withdraw.
CREATE POLICY mine ON appointment_requests FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id()
           AND patient_id = ANY (ARRAY(SELECT app.patients_with_records()))
           AND (SELECT app.allows_appointment_requests()));
CREATE POLICY ask ON appointment_requests FOR INSERT TO portico_portal
    WITH CHECK (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id()
                AND patient_id = ANY (ARRAY(SELECT app.patients_with_records()))
                AND (SELECT app.allows_appointment_requests()) AND state = 'open');
CREATE POLICY withdraw ON appointment_requests FOR UPDATE TO portico_portal
    USING (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id()
           AND patient_id = ANY (ARRAY(SELECT app.patients_with_records()))
           AND (SELECT app.allows_appointment_requests()) AND state = 'open')
    WITH CHECK (clinic_id = app.clinic_id() AND portal_user_id = app.portal_user_id()
                AND patient_id = ANY (ARRAY(SELECT app.patients_with_records()))
                AND (SELECT app.allows_appointment_requests()) AND state = 'withdrawn');

CREATE POLICY portal ON portal_settings FOR SELECT TO portico_portal USING (clinic_id = app.clinic_id());
CREATE POLICY portal ON clinic_keys FOR SELECT TO portico_portal USING (clinic_id = app.clinic_id());
-- The one letter a portal user causes goes to themselves.
CREATE POLICY post ON letters FOR INSERT TO portico_portal
    WITH CHECK (clinic_id = app.clinic_id() AND kind = 'password_changed'
                AND to_address = (SELECT email FROM portal_users WHERE id = app.portal_user_id()));

GRANT SELECT (clinic_id, id, portal_user_id, patient_id, contact_id, relationship, guardian_for_adult, records, billing,
              starts_at, ends_at, ended_at) ON portal_access TO portico_portal;
GRANT SELECT ON
    patients, document_types, documents, document_contents, appointments, account_lines, invoices, invoice_lines,
    allocations, portal_settings, clinic_keys, authenticators, stripe_customers, autopay_notices TO portico_portal;
GRANT SELECT, INSERT, UPDATE (status, checkout_session_id, checkout_url, ended_at, fault) ON payments TO portico_portal;
GRANT SELECT, INSERT, UPDATE (released_at) ON payment_invoices TO portico_portal;
GRANT SELECT (clinic_id, id, payment_id, amount_minor, currency, status, asked_at) ON refunds TO portico_portal;
GRANT SELECT, UPDATE (removed_at) ON saved_cards TO portico_portal;
GRANT SELECT, INSERT, UPDATE (ended_at, ending) ON autopays TO portico_portal;
GRANT SELECT (clinic_id, allows_partial, autopay_notice_days) ON billing_settings TO portico_portal;
GRANT SELECT (clinic_id, account_id, charges_enabled, ended_at) ON payment_accounts TO portico_portal;
GRANT SELECT (clinic_id, id, staff_member_id, portal_user_id) ON passkeys TO portico_portal;
GRANT SELECT, INSERT, UPDATE (family_read_at) ON conversations TO portico_portal;
GRANT SELECT, INSERT ON messages, message_attachments TO portico_portal;
GRANT SELECT, INSERT, UPDATE (state, ended_at) ON appointment_requests TO portico_portal;
GRANT SELECT, UPDATE (name, phone, language) ON portal_users TO portico_portal;
GRANT SELECT, INSERT, DELETE ON passwords TO portico_portal;
GRANT SELECT, INSERT, UPDATE (ended_at, ended_reason) ON sessions TO portico_portal;
GRANT SELECT (clinic_id, id, portal_user_id, staff_member_id, purpose, ended_at), UPDATE (ended_at, ending) ON mailed_links TO portico_portal;
GRANT INSERT ON letters TO portico_portal;

-- 8 The mailer -------------------------------------------------------------------------------------------------------

CREATE POLICY mailer ON letters TO portico_mailer
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY mailer ON letterheads FOR SELECT TO portico_mailer USING (clinic_id = app.clinic_id());
CREATE POLICY mailer ON clinic_keys FOR SELECT TO portico_mailer USING (clinic_id = app.clinic_id());
GRANT SELECT, UPDATE (state, next_try_at, tries, ended_at, fault) ON letters TO portico_mailer;
GRANT SELECT ON letterheads, clinic_keys TO portico_mailer;

-- 9 Operators: the clinic and who signs in; no records ---------------------------------------------------------------

CREATE POLICY operator ON clinic_keys TO portico_operator
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY operator ON portal_settings TO portico_operator
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY operator ON letterheads TO portico_operator
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY operator ON document_types TO portico_operator
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY operator ON staff_members TO portico_operator
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY operator ON mailed_links TO portico_operator
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY operator ON sessions TO portico_operator
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY operator ON authenticators FOR SELECT TO portico_operator USING (clinic_id = app.clinic_id());
CREATE POLICY operator ON passkeys FOR SELECT TO portico_operator USING (clinic_id = app.clinic_id());
CREATE POLICY operator ON billing_settings TO portico_operator
    USING (clinic_id = app.clinic_id()) WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY operator ON letters FOR INSERT TO portico_operator WITH CHECK (clinic_id = app.clinic_id());
GRANT SELECT, INSERT ON clinic_keys, portal_settings, letterheads, document_types, staff_members, billing_settings
    TO portico_operator;
GRANT UPDATE (role) ON staff_members TO portico_operator;
GRANT SELECT, INSERT, UPDATE (ended_at, ending, letter_id) ON mailed_links TO portico_operator;
GRANT SELECT ON authenticators TO portico_operator;
GRANT SELECT (clinic_id, id, staff_member_id, portal_user_id) ON passkeys TO portico_operator;
GRANT SELECT (clinic_id, id, staff_member_id, portal_user_id, ended_at), UPDATE (ended_at, ended_reason) ON sessions TO portico_operator;
GRANT INSERT ON letters TO portico_operator;

-- 10 The audit log: everybody adds to it, nobody changes it, and only the chain's own function numbers it ------------

CREATE POLICY door ON audit_entries FOR INSERT TO portico_door WITH CHECK (clinic_id = app.clinic_id());
-- Nobody has signed in who follows a link: what they do is recorded as a visitor's, and of their payments alone.
CREATE POLICY payer ON audit_entries FOR INSERT TO portico_payer
    WITH CHECK (clinic_id = app.clinic_id() AND actor_kind = 'system' AND event IN ('payment.begun', 'payment.ended', 'payment.failed')
                AND subject_id = ANY (ARRAY(SELECT id FROM payments)));
CREATE POLICY operator ON audit_entries FOR INSERT TO portico_operator WITH CHECK (clinic_id = app.clinic_id());
-- What a portal user does is recorded as theirs.
CREATE POLICY post ON audit_entries FOR INSERT TO portico_portal
    WITH CHECK (clinic_id = app.clinic_id() AND actor_kind = 'portal_user' AND actor_id = app.portal_user_id());
GRANT INSERT (clinic_id, id, at, actor_kind, actor_role, actor_id, actor_name, event, result, patient_id, subject_id,
              request_id, address, details)
    ON audit_entries TO portico_door, portico_payer, portico_staff, portico_portal, portico_operator;

GRANT SELECT ON audit_entries TO portico_staff, portico_auditor, portico_chain;
CREATE POLICY proof ON audit_entries FOR SELECT TO portico_auditor USING (clinic_id = app.clinic_id());
-- A family reads who looked at a record they may see now: the staff and themselves, never another portal user, and
-- nothing that would tell one parent about the other. clinic/audit_log.py has the same list of looks.
CREATE POLICY family ON audit_entries FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id() AND patient_id = ANY (ARRAY(SELECT app.patients_with_records()))
           AND (actor_kind = 'staff' OR actor_kind = 'portal_user' AND actor_id = app.portal_user_id())
           AND event IN ('patient.viewed', 'patient_details.viewed', 'appointments.viewed', 'appointment.viewed',
                         'documents.viewed', 'document.viewed', 'document.opened', 'document.downloaded',
                         'billing.viewed', 'invoice.viewed', 'invoice.downloaded', 'receipt.downloaded',
                         'statement.downloaded'));
GRANT SELECT (clinic_id, id, at, actor_kind, actor_role, actor_id, event, patient_id) ON audit_entries TO portico_portal;
-- And what those of the staff are called.
CREATE POLICY looked ON staff_members FOR SELECT TO portico_portal
    USING (clinic_id = app.clinic_id()
           AND EXISTS (SELECT FROM audit_entries e WHERE e.clinic_id = staff_members.clinic_id AND e.actor_id = staff_members.id));
GRANT SELECT (clinic_id, id, name) ON staff_members TO portico_portal;

GRANT SELECT ON clinics, clinic_addresses TO portico_auditor;
CREATE POLICY proof ON clinics FOR SELECT TO portico_auditor USING (id = app.clinic_id());
CREATE POLICY proof ON clinic_addresses FOR SELECT TO portico_auditor USING (clinic_id = app.clinic_id());

CREATE POLICY chain ON audit_entries FOR SELECT TO portico_chain USING (clinic_id = app.clinic_id());
CREATE POLICY found ON audit_entries FOR INSERT TO portico_chain WITH CHECK (clinic_id = app.clinic_id());
CREATE POLICY number ON audit_entries FOR UPDATE TO portico_chain
    USING (clinic_id = app.clinic_id() AND number IS NULL) WITH CHECK (clinic_id = app.clinic_id());
GRANT INSERT, UPDATE (number, previous_hash, hash) ON audit_entries TO portico_chain;
DO $chain$
BEGIN
    -- To give a function away one must be able to become its new owner, who must be able to create one there.
    GRANT portico_chain TO CURRENT_USER;
    GRANT CREATE ON SCHEMA app TO portico_chain;
    ALTER FUNCTION app.chain_audit_entry() OWNER TO portico_chain;
    REVOKE CREATE ON SCHEMA app FROM portico_chain;
    REVOKE ALL ON FUNCTION app.chain_audit_entry() FROM PUBLIC;
END
$chain$;

-- 11 The queue: enqueue from any role that changes something; run as portico_queue only ------------------------------

GRANT USAGE ON SCHEMA q TO portico_door, portico_payer, portico_staff, portico_portal, portico_mailer, portico_operator, portico_queue;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA q TO portico_queue;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA q TO portico_door, portico_payer, portico_staff, portico_portal, portico_mailer, portico_operator, portico_queue;
GRANT INSERT, SELECT (id) ON q.procrastinate_jobs TO portico_door, portico_payer, portico_staff, portico_portal, portico_mailer, portico_operator;
-- A job names the clinic it was enqueued in, and cannot stand in another's way.
ALTER TABLE q.procrastinate_jobs ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS worker ON q.procrastinate_jobs;
DROP POLICY IF EXISTS clinic ON q.procrastinate_jobs;
CREATE POLICY worker ON q.procrastinate_jobs TO portico_queue USING (true) WITH CHECK (true);
CREATE POLICY clinic ON q.procrastinate_jobs TO portico_door, portico_payer, portico_staff, portico_portal, portico_mailer, portico_operator
    USING (args ->> 'clinic_id' = app.clinic_id()::text)
    WITH CHECK (args ->> 'clinic_id' = app.clinic_id()::text AND queueing_lock IS NULL AND lock IS NULL);
GRANT INSERT ON q.procrastinate_events TO portico_door, portico_payer, portico_staff, portico_portal, portico_mailer, portico_operator;

-- 12 The counts across clinics -------------------------------------------------------------------------------------
-- The tables of ours that belong to no clinic: how often one network tried at all of them, and how many webhooks named
-- none or were forged. No other role reaches them, and this role reaches nothing else, so what a clinic's own work can see
-- still ends at the clinic.

CREATE POLICY everywhere ON platform_throttle_buckets TO portico_throttle USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (drained_at, free_at), DELETE ON platform_throttle_buckets TO portico_throttle;
CREATE POLICY everywhere ON platform_webhook_refusals TO portico_throttle USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE (count) ON platform_webhook_refusals TO portico_throttle;
