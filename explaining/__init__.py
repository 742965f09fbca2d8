"""What the tables of a run say: the verdict (findings), and each question's answer with its figures and limits.

Every answer begins with what was found, with "No evidence", or with "Unknown" and what to run. There is a module per
question; nothing here opens a file.
"""
