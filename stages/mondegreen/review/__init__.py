"""The review page: one person works through the cases that wait for a correction, by keyboard.

board      every case and what people decided about it, as of now
order      which case is worth a person's time first
leases     two people at once never get the same case
desk       one person's work: the next case, a decision, undo, progress
sounds     the audio of a case
server     all of it as a page on this machine alone
"""
