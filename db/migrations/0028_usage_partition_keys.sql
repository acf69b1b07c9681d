-- pg_restore --clean cannot drop a key that a partition inherits, so a dump could not be restored over the database that it
-- is of. Each partition has its own key instead: as each holds one slot, the same records are unique as before.
ALTER TABLE usage_records DROP CONSTRAINT usage_records_pkey;

DO $$
BEGIN
  FOR slot IN 0..31 LOOP
    EXECUTE format('ALTER TABLE usage_records_%s ADD PRIMARY KEY (slot, reporter_id, id, hour)', lpad(slot::text, 2, '0'));
  END LOOP;
END
$$;
