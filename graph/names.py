"""The names in which the annotations of links are read.

Types of the graph refer to each other in circles, so links name them as text. Every type enters itself here
(`link.define`), and strawberry looks the text up here when the schema is built, after all modules were imported.
"""
