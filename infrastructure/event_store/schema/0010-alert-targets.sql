-- What an alert says of sizes. The rows of `projections/alerts.py` are folded anew for it.
ALTER TABLE alerts ADD COLUMN quantity text, ADD COLUMN target text;
