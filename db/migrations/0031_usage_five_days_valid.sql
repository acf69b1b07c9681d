-- Reads all sums while other transactions write: nothing else may be in this transaction.
ALTER TABLE usage_rollups VALIDATE CONSTRAINT usage_rollups_unit_check;
ALTER TABLE usage_rolled VALIDATE CONSTRAINT usage_rolled_unit_check;
