"""The documentation: its pages, what makes their tables and diagrams, and the code they show.

What the code says is not written twice.  A page asks for a table by the name of a function of one
of the modules here, which makes it of the code that it is about, when the page is built.  Only
:mod:`docs.directives` and ``conf.py`` know of Sphinx.
"""
