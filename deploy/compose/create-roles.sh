# Run by the Postgres image once, on an empty volume, as the superuser, which nothing else uses. Creates the role that owns the
# database and migrates it, and the one that Mintmark connects as. Neither is a superuser. The migrations grant the rights of
# the latter (db/roles.sql).
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv owner_password OWNER_PASSWORD
\getenv app_password APP_PASSWORD
CREATE ROLE mintmark_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE mintmark_app NOLOGIN;
CREATE ROLE mintmark LOGIN PASSWORD :'app_password' IN ROLE mintmark_app;
ALTER DATABASE mintmark OWNER TO mintmark_owner;
SQL
