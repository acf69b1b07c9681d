-- Who answers for a tenant or a key. The admin API bounds the text.
ALTER TABLE tenants ADD COLUMN contact text, ADD COLUMN escalation text;
ALTER TABLE api_keys ADD COLUMN contact text, ADD COLUMN escalation text;
-- The policy may require a contact of new tenants and keys.
ALTER TABLE installation ADD COLUMN contact_required boolean NOT NULL DEFAULT false;
