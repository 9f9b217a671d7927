-- How a source reads its alerts, and since when. The rows of `projections/bots.py` are folded anew for it.
ALTER TABLE sources
    ADD COLUMN follow    text   NOT NULL DEFAULT 'action',
    ADD COLUMN mapping   text   NOT NULL DEFAULT '{}',
    ADD COLUMN mapped_at bigint NOT NULL DEFAULT 0;
