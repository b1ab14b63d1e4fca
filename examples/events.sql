-- What happened how often and for how long, by stream and label, with Flink SQL (1.20, flink-sql-connector-kafka, flink-json).
--
-- scripts/check_flink.sh runs these statements against a broker. A record may come twice, and of an event the record with the highest
-- revision holds (docs/events.md): `latest` has each event once.

CREATE TABLE events (
  event_id STRING,
  stream_id STRING,
  phase STRING,
  revision BIGINT,
  label STRING,
  modality STRING,
  score DOUBLE,
  `start` ROW<`stream` DOUBLE, utc STRING>,
  `end` ROW<`stream` DOUBLE, utc STRING>
) WITH (
  'connector' = 'kafka',
  'topic' = 'avicuna.events',
  'properties.bootstrap.servers' = 'localhost:9092',
  -- What a daemon of a fleet could not commit was never said.
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json'
);

CREATE VIEW latest AS
SELECT event_id, stream_id, phase, label, `end`.`stream` - `start`.`stream` AS seconds
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY revision DESC) AS newest FROM events)
WHERE newest = 1;

SELECT stream_id, label, COUNT(*) AS times, ROUND(SUM(seconds), 2) AS seconds
FROM latest
WHERE phase = 'ended'
GROUP BY stream_id, label;
