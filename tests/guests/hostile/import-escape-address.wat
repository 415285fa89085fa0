;; Imports an address with escape codes and U+202E. Must be refused, and none of them may
;; reach a terminal.
;; ends: admission ForbiddenImport
(component
  (import "url=<a\1b[31mb\0ac\c2\9bd\e2\80\ae>" (component)))
