-- The table that clickhouse.yaml writes to, and totals per hour of UTC in which requests ended, tenant, key and model, each record once, by
-- the rules by which Mintmark counts:
--
--   clickhouse-client --multiquery < clickhouse.sql
--   SELECT * FROM mintmark.usage(from = '2026-11-01 00:00:00', to = '2026-12-01 00:00:00') ORDER BY hour, tenant, key, model
--
-- ClickHouse does not know tenants, keys, models and reporters: what Mintmark rejects as of an unknown tenant or key, of another audience or
-- as too late has a row here. So only gateways may reach the Collector.

CREATE DATABASE IF NOT EXISTS mintmark;

-- Columns as the Collector's exporter names them. Yours to change: how long rows are kept; ReplicatedMergeTree where there are replicas.
CREATE TABLE IF NOT EXISTS mintmark.usage_records (
  Timestamp DateTime64(9, 'UTC') CODEC(Delta(8), ZSTD(1)),
  TraceId String, SpanId String, TraceFlags UInt8, SeverityText LowCardinality(String), SeverityNumber UInt8,
  ServiceName LowCardinality(String), Body String CODEC(ZSTD(1)),
  ResourceSchemaUrl LowCardinality(String), ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
  ScopeSchemaUrl LowCardinality(String), ScopeName LowCardinality(String), ScopeVersion LowCardinality(String),
  ScopeAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
  LogAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
  EventName LowCardinality(String)
) ENGINE = MergeTree PARTITION BY toYYYYMM(Timestamp) ORDER BY Timestamp TTL toDateTime(Timestamp) + INTERVAL 400 DAY;

CREATE OR REPLACE VIEW mintmark.usage AS
SELECT
  toStartOfHour(at, 'UTC') AS hour, tenant, key, model,
  countIf(outcome != 'refused') AS requests,
  countIf(outcome = 'refused') AS refused_requests,
  countIf(estimated) AS estimated_requests,
  sumIf(input, outcome != 'refused') AS input_tokens,
  sumIf(least(cached, input), outcome != 'refused') AS cached_input_tokens,
  sumIf(output, outcome != 'refused') AS output_tokens
FROM (
  SELECT
    at, tenant, key, model, outcome,
    outcome = 'cancelled' AND isNull(counted_output) AS estimated,
    coalesce(counted_input, if(estimated, toUInt64(ceil(ifNull(request_bytes, 0) / 4)), 0)) AS input,
    coalesce(counted_output, if(estimated, coalesce(events, toUInt64(ceil(ifNull(answer_bytes, 0) / 200))), 0)) AS output,
    ifNull(counted_cached, 0) AS cached
  FROM (
    WITH
      mapConcat(ResourceAttributes, LogAttributes) AS a,
      mapApply((name, value) -> (name, if(value = '-', '', value)), a) AS said,
      (name) -> if(
        match(said[name], '^[0-9]{1,15}(\\.0+)?$') AND toUInt64OrZero(splitByChar('.', said[name])[1]) <= 4294967296,
        toUInt64OrNull(splitByChar('.', said[name])[1]), NULL) AS number,
      -- A week at most.
      if(match(said['mintmark.request.duration_ms'], '^[0-9]{1,15}(\\.0+)?$'),
        least(toUInt64OrZero(splitByChar('.', said['mintmark.request.duration_ms'])[1]), 604800000), 0) AS duration
    SELECT
      -- The end of the request.
      Timestamp + toIntervalMillisecond(duration) AS at,
      said['mintmark.request.id'] AS id,
      said['mintmark.tenant'] AS tenant,
      said['mintmark.key'] AS key,
      if(match(said['gen_ai.request.model'], '^[!-~]{1,128}$'), said['gen_ai.request.model'], '') AS model,
      number('http.response.status_code') AS status,
      multiIf(
        said['mintmark.outcome'] != '', said['mintmark.outcome'],
        isNull(status), '',
        status IN (0, 499) OR match(said['mintmark.response_flags'], '\\bD[CR]\\b'), 'cancelled',
        status >= 400, 'refused', 'completed') AS outcome,
      number('gen_ai.usage.input_tokens') AS counted_input,
      number('gen_ai.usage.output_tokens') AS counted_output,
      number('mintmark.usage.cached_input_tokens') AS counted_cached,
      number('mintmark.usage.output_events') AS events,
      number('http.request.body.size') AS request_bytes,
      number('http.response.body.size') AS answer_bytes
    FROM mintmark.usage_records
    WHERE Timestamp >= {from:DateTime('UTC')} - INTERVAL 7 DAY AND Timestamp < {to:DateTime('UTC')}
      AND at >= {from:DateTime('UTC')} AND at < {to:DateTime('UTC')}
      AND tenant != '' AND id != '' AND length(id) <= 256 AND match(key, '^key_[0-9A-Za-z]{16}$')
      AND outcome IN ('completed', 'cancelled', 'refused')
    -- Sent twice is counted once.
    LIMIT 1 BY id
  )
)
GROUP BY hour, tenant, key, model;
