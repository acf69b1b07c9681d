-- Where a publication has the table, as in an upgrade by logical replication, Postgres 18 deletes no row of a table whose primary
-- key has a generated column that is not published. A trigger fills the column, so that processes of an older version may insert too.
ALTER TABLE usage_rollups ALTER COLUMN labels_md5 DROP EXPRESSION;

CREATE FUNCTION fill_labels_md5() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  new.labels_md5 := md5(new.labels::text);
  RETURN new;
END
$$;
CREATE TRIGGER fill_labels_md5 BEFORE INSERT ON usage_rollups FOR EACH ROW EXECUTE FUNCTION fill_labels_md5();
