"""What goes into a paper or to a colleague: tables of several models, and a report on one."""
