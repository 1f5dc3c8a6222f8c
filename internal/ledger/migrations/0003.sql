-- When the target was last read of the Proof of which that is longest ago; the smallest number in rows that were written before.
ALTER TABLE summary ADD COLUMN checked_at INTEGER NOT NULL DEFAULT -9223372036854775808;
