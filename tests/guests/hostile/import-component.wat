;; Imports a component.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "code" (component)))
