-- How groups end beside the targets of their legs. The rows of `projections/position_groups.py` are folded anew for it.
ALTER TABLE position_groups
    ADD COLUMN pyramids     bigint NOT NULL DEFAULT 1,
    ADD COLUMN take_profit  text   NOT NULL DEFAULT 'per_leg',
    ADD COLUMN stop_price   bigint,
    ADD COLUMN target_price bigint;
ALTER TABLE position_group_legs ALTER COLUMN take_profit_pct DROP NOT NULL;
