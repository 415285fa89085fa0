;; Imports a component by its digest.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "integrity=<sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=>" (component)))
