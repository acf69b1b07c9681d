-- Which gateways are connected to a replica by xDS, and which list each has acknowledged, as the replica last reported it
-- (src/token-revocations/gateway-connections.ts). NULL: a replica of a version before this one. A statement on a replica
-- waits for a lock of milliseconds: there are few rows.
ALTER TABLE replicas ADD COLUMN gateways jsonb CHECK (jsonb_typeof(gateways) = 'object');
