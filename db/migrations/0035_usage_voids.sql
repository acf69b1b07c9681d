-- Where a voided reporter has corrections, which no record explains: a repeated void takes each back and makes it again at once.
ALTER TABLE usage_reporters
  ADD COLUMN voided_since timestamptz,   -- the earliest; NULL: nothing was taken back
  ADD COLUMN corrected_hours timestamptz[] NOT NULL DEFAULT '{}';

UPDATE usage_reporters AS u SET voided_since = (
  SELECT min((changes #>> '{since,to}')::timestamptz) FROM audit_events
  WHERE target_kind = 'usage-reporter' AND target_id = u.id AND action = 'usage-reporter.void'
) WHERE deleted_at IS NOT NULL;
