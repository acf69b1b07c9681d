# Run by the Postgres image once, on an empty volume: creates the role that Mintmark connects as. The migrations grant its
# rights (db/roles.sql).
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv password APP_PASSWORD
CREATE ROLE mintmark_app NOLOGIN;
CREATE ROLE mintmark LOGIN PASSWORD :'password' IN ROLE mintmark_app;
SQL
