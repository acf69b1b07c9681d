-- Sums of five days, between those of days and months: docs/decisions/0039-usage-read-in-time.md. NOT VALID, so that no row is read while
-- the table is locked. 0031 validates it.
ALTER TABLE usage_rollups DROP CONSTRAINT usage_rollups_unit_check;
ALTER TABLE usage_rollups ADD CONSTRAINT usage_rollups_unit_check CHECK (unit IN ('day', 'five_days', 'month')) NOT VALID;
ALTER TABLE usage_rolled DROP CONSTRAINT usage_rolled_unit_check;
ALTER TABLE usage_rolled ADD CONSTRAINT usage_rolled_unit_check CHECK (unit IN ('day', 'five_days', 'month')) NOT VALID;
