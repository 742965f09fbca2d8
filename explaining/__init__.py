"""What the tables of a run say of alignment, question by question, with the figures, and what they cannot say.

Every answer begins with what was found, with "No evidence", or with "Unknown" and what to run. There is a module per
question; nothing here opens a file.
"""
