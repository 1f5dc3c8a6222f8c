-- Which identity is the source in the stored Proofs, '' until somebody opens the pair in a direction; and whether it was last written
-- in the other one.
ALTER TABLE pair ADD COLUMN source TEXT NOT NULL DEFAULT '';
ALTER TABLE pair ADD COLUMN turned INTEGER NOT NULL DEFAULT 0;

-- The identity of the mirror's source, '' for the pair's.
ALTER TABLE mirror ADD COLUMN identity TEXT NOT NULL DEFAULT '';

-- A mirror's note of its ends knows which was the source until now.
UPDATE pair SET source = coalesce((SELECT json_extract(CAST(body AS TEXT), '$.Source') FROM note
	WHERE note.pair = pair.id AND name LIKE 'ends %' AND json_valid(CAST(body AS TEXT)) ORDER BY name LIMIT 1), '');
