-- Carries out one chunk of a confirmed invitation batch, in one statement. Row security confines it to the open clinic.
-- A row that loses a race for a new portal user keeps no fate and is judged again with the next chunk.
-- The planner takes a chunk for one row, and would join a thousand to a thousand by trying each pair. For large batches
-- nested loops are switched off around it; the look-ups by key are LATERAL ... LIMIT 1, which can be nothing else. Portal
-- users are hashed: right after the first chunk the planner believes there are none, and picks any index for them.
-- mac(link) is HMAC-SHA256 under the clinic's link key: sha256(outer || sha256(inner || 'invitation:' || id)).
WITH chunk AS (
    SELECT position, relationship_id, email_norm
    FROM invitation_batch_rows
    WHERE clinic_id = app.clinic_id() AND batch_id = %(batch_id)s AND fate IS NULL
    ORDER BY position LIMIT %(chunk)s FOR UPDATE
),
looked_up AS MATERIALIZED (
    SELECT chunk.position, chunk.email_norm AS confirmed_address, relationship.id AS relationship_id, relationship.kind,
           relationship.guardian_for_adult, patient.birth_on,
           contact.id AS contact_id, contact.name, contact.email, contact.email_norm, contact.language, contact.do_not_invite,
           patient.id AS patient_id, patient.status
    FROM chunk
    LEFT JOIN LATERAL (
        SELECT id, contact_id, patient_id, kind, guardian_for_adult FROM relationships
        WHERE clinic_id = app.clinic_id() AND id = chunk.relationship_id LIMIT 1) relationship ON true
    LEFT JOIN LATERAL (
        SELECT id, name, email, email_norm, language, do_not_invite FROM contacts
        WHERE clinic_id = app.clinic_id() AND id = relationship.contact_id LIMIT 1) contact ON true
    LEFT JOIN LATERAL (
        SELECT id, status, birth_on FROM patients
        WHERE clinic_id = app.clinic_id() AND id = relationship.patient_id LIMIT 1) patient ON true
),
judged AS MATERIALIZED (
    SELECT found.position, found.contact_id, found.name, found.email, found.email_norm, found.patient_id, found.kind,
           coalesce(holder.language, found.language) AS language,
           found.guardian_for_adult,
           -- A patient of age decides who sees the records; a caregiver is given billing alone.
           found.kind = 'self' OR found.guardian_for_adult OR found.birth_on > age.born_until AS records,
           holder.id AS holder_id, holder.accepted_at,
           CASE
               WHEN found.relationship_id IS NULL THEN 'gone'
               WHEN found.email_norm IS NULL THEN 'no_address'
               WHEN found.email_norm <> found.confirmed_address THEN 'address_changed'
               WHEN found.do_not_invite THEN 'do_not_invite'
               WHEN found.patient_id = ANY (blocked.patients)  -- few; only for them it is asked who is meant
                   AND is_under_custody_block(app.clinic_id(), found.patient_id, found.contact_id, found.email_norm)
                   THEN 'custody_block'
               WHEN found.status <> 'active' THEN 'inactive_patient'
               WHEN holder.deactivated_at IS NOT NULL THEN 'deactivated'
               WHEN access.id IS NOT NULL THEN 'has_access'
           END AS refusal
    FROM looked_up found
    CROSS JOIN (SELECT app.of_age_born_until() AS born_until) age
    CROSS JOIN (SELECT ARRAY(SELECT patient_id FROM access_holds
                             WHERE clinic_id = app.clinic_id() AND kind = 'custody' AND lifted_at IS NULL) AS patients) blocked
    LEFT JOIN portal_users holder ON holder.clinic_id = app.clinic_id() AND holder.email_norm = found.email_norm
    LEFT JOIN LATERAL (
        SELECT id FROM portal_access
        WHERE clinic_id = app.clinic_id() AND portal_user_id = holder.id AND patient_id = found.patient_id
          AND ended_at IS NULL LIMIT 1) access ON true
),
made AS (
    INSERT INTO portal_users (clinic_id, email, email_norm, name, language, invited_at)
    SELECT DISTINCT ON (email_norm) app.clinic_id(), email, email_norm, name, language, %(now)s
    FROM judged WHERE refusal IS NULL AND holder_id IS NULL
    ORDER BY email_norm, position
    ON CONFLICT (clinic_id, email_norm) DO NOTHING
    RETURNING id, email_norm, language
),
invited AS MATERIALIZED (
    SELECT judged.position, judged.contact_id, judged.patient_id, judged.kind, judged.email_norm,
           judged.guardian_for_adult, judged.records,
           coalesce(made.language, judged.language) AS language, judged.accepted_at, coalesce(judged.holder_id, made.id) AS holder_id, made.id IS NOT NULL AS is_new
    FROM judged LEFT JOIN made ON made.email_norm = judged.email_norm
    WHERE judged.refusal IS NULL AND coalesce(judged.holder_id, made.id) IS NOT NULL
),
given AS (
    INSERT INTO portal_access (clinic_id, portal_user_id, patient_id, contact_id, relationship, guardian_for_adult, records,
                               billing, starts_at, given_by_id)
    SELECT DISTINCT ON (holder_id, patient_id)
           app.clinic_id(), holder_id, patient_id, contact_id, kind, guardian_for_adult, records, true, %(now)s, %(given_by)s
    FROM invited ORDER BY holder_id, patient_id, position
    ON CONFLICT (clinic_id, portal_user_id, patient_id) WHERE ended_at IS NULL DO NOTHING
    RETURNING portal_user_id, patient_id, contact_id
),
written AS MATERIALIZED (
    SELECT holder_id, email_norm, language, is_new, accepted_at IS NOT NULL AS is_active,
           gen_random_uuid() AS link_id, gen_random_uuid() AS letter_id
    FROM (SELECT DISTINCT holder_id, email_norm, language, accepted_at, is_new
          FROM invited JOIN given ON given.portal_user_id = invited.holder_id
              AND given.patient_id = invited.patient_id) people
),
superseded AS (
    UPDATE mailed_links SET ended_at = %(now)s, ending = 'superseded'
    FROM written
    WHERE mailed_links.clinic_id = app.clinic_id() AND mailed_links.portal_user_id = written.holder_id
      AND mailed_links.purpose = 'invitation' AND mailed_links.ended_at IS NULL AND NOT written.is_active AND NOT written.is_new
    RETURNING mailed_links.id
),
linked AS (
    INSERT INTO mailed_links (clinic_id, id, purpose, portal_user_id, email_norm, token_hash, issued_at, expires_at,
                              misses, letter_id)
    SELECT app.clinic_id(), link_id, 'invitation', holder_id, email_norm,
           sha256(sha256(%(outer)s || sha256(%(inner)s || convert_to('invitation:' || link_id, 'UTF8')))),
           %(now)s, %(expires_at)s, 0, letter_id
    FROM written WHERE NOT is_active
      -- After the earlier links have ended: one open link a person.
      AND (SELECT count(*) FROM superseded) >= 0
),
posted AS (
    INSERT INTO letters (clinic_id, id, kind, to_address, language, ids, state, posted_at, next_try_at, tries)
    SELECT app.clinic_id(), letter_id,
           CASE WHEN is_active THEN 'access_added' ELSE 'portal_invitation' END,
           email_norm, language,
           CASE WHEN is_active THEN '{}'::jsonb ELSE jsonb_build_object('link_id', link_id) END,
           'waiting', %(now)s, %(now)s, 0
    FROM written
),
audited AS (
    INSERT INTO audit_entries (clinic_id, at, actor_kind, actor_role, actor_id, request_id, address, event, patient_id,
                               subject_id, details)
    SELECT app.clinic_id(), %(now)s, %(actor_kind)s, %(actor_role)s, %(given_by)s, %(request_id)s, %(address)s,
           'portal_access.given', patient_id, portal_user_id,
           jsonb_build_object('batch_id', %(batch_id)s::uuid)
    FROM given
),
decided AS (
    UPDATE invitation_batch_rows row
    SET fate = CASE
        WHEN judged.refusal IS NOT NULL THEN judged.refusal
        WHEN given.portal_user_id IS NULL THEN 'has_access'
        WHEN invited.accepted_at IS NOT NULL THEN 'access_added'
        ELSE 'invited'
    END
    FROM judged
    LEFT JOIN invited ON invited.position = judged.position
    LEFT JOIN given ON given.portal_user_id = invited.holder_id AND given.patient_id = invited.patient_id
        AND given.contact_id = invited.contact_id
    WHERE row.clinic_id = app.clinic_id() AND row.batch_id = %(batch_id)s AND row.position = judged.position
      AND (judged.refusal IS NOT NULL OR invited.position IS NOT NULL)
    RETURNING row.fate
)
SELECT count(*) AS decided, count(*) FILTER (WHERE fate IN ('invited', 'access_added')) AS given FROM decided
