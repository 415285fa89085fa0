;; Imports from a package whose name only starts like that of the contract.
;; Must be refused before it is compiled, by that name.
;; ends: admission ForbiddenImport
(component
  (import "fedwasm:training-plan2/store@0.1.0" (instance)))
