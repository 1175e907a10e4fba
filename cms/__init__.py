"""Where content teams steer the feed: videos, playlists, rules, configuration, models, experiments, keys, preview.

function_app → *_api.py            one module a resource: parse, authorize, call, answer
               call.py             one CMS request: who, for which tenant, under which conditions
               forms.py            strict forms, faults in plain sentences
               videos.py …         pure: what a document may look like, how it is shown
               changes.py          every change: the document and its audit entry in one atomic batch
               imports.py          bulk import, at once or as a job that survives a crash
               preview.py          the production pipeline without its side effects
               studio/             the page at /studio
"""
