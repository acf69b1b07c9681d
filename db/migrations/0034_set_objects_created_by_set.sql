-- The column has the name that the API uses: whether the set created the object, or adopted it.
ALTER TABLE set_objects RENAME COLUMN made TO created_by_set;
