;; Imports a resource type of its own, outside any interface.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "file" (type (sub resource))))
