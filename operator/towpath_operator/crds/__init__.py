"""What is made from the resources' models: CustomResourceDefinitions for the API server, a reference for people.

python -m towpath_operator.crds crds helm/towpath/crds        # one file for each kind, in each folder
python -m towpath_operator.crds | kubectl apply --server-side -f -
python -m towpath_operator.crds --docs docs/reference
"""

from towpath_operator.crds.manifest import files, manifest_of, schema_of
from towpath_operator.crds.reference import reference_page
from towpath_operator.crds.structural import NotStructuralError, structural

__all__ = ["NotStructuralError", "files", "manifest_of", "reference_page", "schema_of", "structural"]
