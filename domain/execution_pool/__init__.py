"""The execution pool: how many position groups an account may have open, and who waits for a slot."""
