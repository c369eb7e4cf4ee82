"""The dossier: what a reviewer reads about one box, and the 56 points of the checklist.

    collect ─► Facts ─► points   each a function of Facts: pass, fail, not applicable, unknown, duty
                   └──► page     one HTML file, Danish or English ─► paper, the same as PDF

`facts` holds what is known, and None for what is not. Only `collect` reads files, runs programs and looks at the host.
Source: design notes "Security", sections 1.1, 2.1, 2.2, 2.3.
"""
